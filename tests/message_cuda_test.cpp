#include <gtest/gtest.h>

#include "message_cases.h"
#include "on_device.h"
#include "starling/message.h"

namespace starling {
namespace {

using namespace message_cases;

template <typename T, typename S>
struct Result {
  std::vector<S> mean, max, features_gradient;
  std::vector<T> weight_gradient;
  std::vector<std::int32_t> max_slot;
  bool operator==(const Result&) const = default;
};

template <typename T, typename S>
Result<T, S> run_on_host(const Case<T, S>& test) {
  const Messages<T, S> messages = test.messages();
  Result<T, S> out{std::vector<S>(test.outputs()), std::vector<S>(test.outputs()), std::vector<S>(test.features.size()),
                   std::vector<T>(test.index.size()), std::vector<std::int32_t>(test.outputs())};
  aggregate<T>(messages, {out.mean.data(), out.max.data(), test.width, out.max_slot.data()});
  std::vector<std::byte> workspace(aggregate_gradient_workspace_bytes(messages));
  aggregate_gradient<T>(messages,
                        {test.mean_gradient.data(), test.max_gradient.data(), test.width, out.max_slot.data()},
                        out.features_gradient.data(), out.weight_gradient.data(), workspace);
  return out;
}

template <typename T, typename S>
Result<T, S> run_on_device(const Case<T, S>& test, bool find_holders_first = false) {
  const OnDevice<std::int32_t> index(test.index);
  const OnDevice<std::int64_t> splits(test.row_splits);
  const OnDevice<S> features(test.features), mean_gradient(test.mean_gradient), max_gradient(test.max_gradient);
  const OnDevice<T> weight(test.weight);
  const OnDevice<S> mean(test.outputs()), max(test.outputs()), features_gradient(test.features.size());
  const OnDevice<T> weight_gradient(test.index.size());
  const OnDevice<std::int32_t> max_slot(test.outputs());
  Messages<T, S> messages = test.messages(index.data(), splits.data(), features.data(), weight.data());
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const Lists lists{messages.index,
                    messages.num_rows,
                    messages.k,
                    messages.neighbor_row_splits,
                    static_cast<std::int64_t>(test.index.size()),
                    messages.num_sources};
  const OnDevice<std::byte> of_holders(find_holders_workspace_bytes(lists, execution));
  if (find_holders_first) messages.holders = find_holders(lists, of_holders.span(), execution);
  const OnDevice<std::byte> workspace(aggregate_gradient_workspace_bytes(messages, execution));
  replay_twice(stream, [&] {
    aggregate<T>(messages, {mean.data(), max.data(), test.width, max_slot.data()}, execution);
    aggregate_gradient<T>(messages, {mean_gradient.data(), max_gradient.data(), test.width, max_slot.data()},
                          features_gradient.data(), weight_gradient.data(), workspace.span(), execution);
  });
  return {mean.get(), max.get(), features_gradient.get(), weight_gradient.get(), max_slot.get()};
}

template <typename Types>
class MessageCudaTest : public CudaTest {};
using StoredTypes =
    testing::Types<Stored<float, float>, Stored<double, double>, Stored<float, Float16>, Stored<float, BFloat16>>;
TYPED_TEST_SUITE(MessageCudaTest, StoredTypes);

TYPED_TEST(MessageCudaTest, SameBytesAsOnTheHost) {
  using T = typename TypeParam::Computed;
  using S = typename TypeParam::Values;
  for (const Case<T, S>& test : table<T, S>()) {
    SCOPED_TRACE(test.name);
    const Result<T, S> host = run_on_host(test), device = run_on_device(test);
    EXPECT_TRUE(host.mean == device.mean);
    EXPECT_TRUE(host.max == device.max);
    EXPECT_EQ(host.max_slot, device.max_slot);
    EXPECT_TRUE(host.features_gradient == device.features_gradient);
    EXPECT_EQ(host.weight_gradient, device.weight_gradient);
    EXPECT_TRUE(run_on_device(test, true) == device);
  }
}

TYPED_TEST(MessageCudaTest, IndexBeyondTheSourcesIsNone) {
  using T = typename TypeParam::Computed;
  using S = typename TypeParam::Values;
  Case<T, S> test{.name = "beyond", .num_sources = 40, .width = 22, .k = 6};
  fill(test, 3);
  Case<T, S> beyond = test;
  for (std::size_t e = 0; e < test.index.size(); e += 5) {
    test.index[e] = -1;
    beyond.index[e] = e % 2 == 0 ? 40 : -9;
  }
  const Result<T, S> host = run_on_host(test), device = run_on_device(beyond);
  EXPECT_TRUE(host.mean == device.mean);
  EXPECT_TRUE(host.features_gradient == device.features_gradient);
  EXPECT_EQ(host.weight_gradient, device.weight_gradient);
}

}  // namespace
}  // namespace starling
