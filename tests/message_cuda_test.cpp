#include <gtest/gtest.h>

#include "message_cases.h"
#include "on_device.h"
#include "starling/message.h"

namespace starling {
namespace {

using namespace message_cases;

template <typename T>
struct Result {
  std::vector<T> mean, max, features_gradient, weight_gradient;
  std::vector<std::int32_t> max_slot;
  bool operator==(const Result&) const = default;
};

template <typename T>
Result<T> run_on_host(const Case<T>& test) {
  const Messages<T> messages = test.messages();
  Result<T> out{std::vector<T>(test.outputs()), std::vector<T>(test.outputs()), std::vector<T>(test.features.size()),
                std::vector<T>(test.index.size()), std::vector<std::int32_t>(test.outputs())};
  aggregate<T>(messages, {out.mean.data(), out.max.data(), test.width, out.max_slot.data()});
  std::vector<std::byte> workspace(aggregate_gradient_workspace_bytes(messages));
  aggregate_gradient<T>(messages,
                        {test.mean_gradient.data(), test.max_gradient.data(), test.width, out.max_slot.data()},
                        out.features_gradient.data(), out.weight_gradient.data(), workspace);
  return out;
}

template <typename T>
Result<T> run_on_device(const Case<T>& test) {
  const OnDevice<std::int32_t> index(test.index);
  const OnDevice<std::int64_t> splits(test.row_splits);
  const OnDevice<T> features(test.features), weight(test.weight), mean_gradient(test.mean_gradient),
      max_gradient(test.max_gradient);
  const OnDevice<T> mean(test.outputs()), max(test.outputs()), features_gradient(test.features.size()),
      weight_gradient(test.index.size());
  const OnDevice<std::int32_t> max_slot(test.outputs());
  const Messages<T> messages = test.messages(index.data(), splits.data(), features.data(), weight.data());
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const OnDevice<std::byte> workspace(aggregate_gradient_workspace_bytes(messages, execution));
  replay_twice(stream, [&] {
    aggregate<T>(messages, {mean.data(), max.data(), test.width, max_slot.data()}, execution);
    aggregate_gradient<T>(messages, {mean_gradient.data(), max_gradient.data(), test.width, max_slot.data()},
                          features_gradient.data(), weight_gradient.data(), workspace.span(), execution);
  });
  return {mean.get(), max.get(), features_gradient.get(), weight_gradient.get(), max_slot.get()};
}

template <typename T>
class MessageCudaTest : public CudaTest {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(MessageCudaTest, Types);

TYPED_TEST(MessageCudaTest, SameBytesAsOnTheHost) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result<TypeParam> host = run_on_host(test), device = run_on_device(test);
    EXPECT_EQ(host.mean, device.mean);
    EXPECT_EQ(host.max, device.max);
    EXPECT_EQ(host.max_slot, device.max_slot);
    EXPECT_EQ(host.features_gradient, device.features_gradient);
    EXPECT_EQ(host.weight_gradient, device.weight_gradient);
  }
}

TYPED_TEST(MessageCudaTest, IndexBeyondTheSourcesIsNone) {
  Case<TypeParam> test{.name = "beyond", .num_sources = 40, .width = 22, .k = 6};
  fill(test, 3);
  Case<TypeParam> beyond = test;
  for (std::size_t e = 0; e < test.index.size(); e += 5) {
    test.index[e] = -1;
    beyond.index[e] = e % 2 == 0 ? 40 : -9;
  }
  const Result<TypeParam> host = run_on_host(test), device = run_on_device(beyond);
  EXPECT_EQ(host.mean, device.mean);
  EXPECT_EQ(host.features_gradient, device.features_gradient);
  EXPECT_EQ(host.weight_gradient, device.weight_gradient);
}

}  // namespace
}  // namespace starling
