#include <gtest/gtest.h>

#include "edge_conv_cases.h"
#include "on_device.h"
#include "starling/edge_conv.h"

namespace starling {
namespace {

using namespace edge_conv_cases;

template <typename T>
struct Result {
  std::vector<T> out, target, source, weight, bias;
  std::vector<std::int32_t> kept, found;
  bool operator==(const Result&) const = default;
};

template <typename T>
Result<T> empty_result(const Case<T>& test) {
  return {std::vector<T>(test.out_size()),
          std::vector<T>(test.target.size()),
          std::vector<T>(test.source.size()),
          std::vector<T>(test.weight.size()),
          std::vector<T>(test.bias.size()),
          std::vector<std::int32_t>(test.out_size(), static_cast<std::int32_t>(0xCDCDCDCD)),
          std::vector<std::int32_t>(static_cast<std::size_t>(test.num_rows()))};
}

template <typename T>
void gradient_on_host(const Case<T>& test, Result<T>& result) {
  const EdgeConv<T> conv = test.conv();
  std::vector<std::byte> workspace(edge_conv_gradient_workspace_bytes(conv));
  const bool has_weight = test.outputs > 0;
  edge_conv_gradient<T>(conv, test.out_gradient.data(), result.kept.data(),
                        {result.target.data(), result.source.data(), has_weight ? result.weight.data() : nullptr,
                         has_weight ? result.bias.data() : nullptr},
                        workspace);
}

template <typename T>
Result<T> run_on_host(const Case<T>& test) {
  const EdgeConv<T> conv = test.conv();
  Result<T> result = empty_result(test);
  std::vector<std::byte> workspace(edge_conv_workspace_bytes(conv));
  edge_conv<T>(conv, {result.out.data(), result.kept.data(), result.found.data()}, workspace);
  gradient_on_host(test, result);
  return result;
}

template <typename T>
Result<T> run_on_device(const Case<T>& test) {
  const OnDevice<std::int32_t> index(test.index);
  const OnDevice<std::int64_t> splits(test.row_splits);
  const OnDevice<T> target(test.target), source(test.source), weight(test.weight), bias(test.bias),
      out_gradient(test.out_gradient);
  const OnDevice<T> out(test.out_size()), of_target(test.target.size()), of_source(test.source.size()),
      of_weight(test.weight.size()), of_bias(test.bias.size());
  const OnDevice<std::int32_t> kept(test.out_size()), found(static_cast<std::size_t>(test.num_rows()));
  const EdgeConv<T> conv =
      test.conv(index.data(), splits.data(), target.data(), source.data(), weight.data(), bias.data());
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const OnDevice<std::byte> forward(edge_conv_workspace_bytes(conv, execution)),
      backward(edge_conv_gradient_workspace_bytes(conv, execution));
  const bool has_weight = test.outputs > 0;
  replay_twice(stream, [&] {
    edge_conv<T>(conv, {out.data(), kept.data(), found.data()}, forward.span(), execution);
    edge_conv_gradient<T>(conv, out_gradient.data(), kept.data(),
                          {of_target.data(), of_source.data(), has_weight ? of_weight.data() : nullptr,
                           has_weight ? of_bias.data() : nullptr},
                          backward.span(), execution);
  });
  return {out.get(), of_target.get(), of_source.get(), of_weight.get(), of_bias.get(), kept.get(), found.get()};
}

template <typename T>
class EdgeConvCudaTest : public CudaTest {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(EdgeConvCudaTest, Types);

/// Without products: the same bytes as on the host. Products round otherwise there; where the maximum is held,
/// gradients have the same bytes again.
template <typename T>
void expect_right(const Case<T>& test) {
  SCOPED_TRACE(test.name + (test.tf32 ? ", TF32" : ""));
  const Result<T> device = run_on_device(test);
  if (test.outputs == 0) {
    const Result<T> host = run_on_host(test);
    EXPECT_EQ(host.out, device.out);
    EXPECT_EQ(host.kept, device.kept);
    EXPECT_EQ(host.found, device.found);
    EXPECT_EQ(host.target, device.target);
    EXPECT_EQ(host.source, device.source);
    return;
  }
  const Expected expected = brute_force(test, device.kept);
  const double epsilon = std::is_same_v<T, double> ? 1e-13 : (test.tf32 ? 1e-3 : 4e-6);
  for (std::size_t i = 0; i < device.out.size(); ++i)
    ASSERT_NEAR(device.out[i], expected.out.value[i], epsilon * (expected.out.size[i] + 1e-3)) << i;
  EXPECT_EQ(device.found, expected.found);
  if (test.name.find("ties") != std::string::npos) {
    EXPECT_EQ(device.kept, expected.kept);
  }
  Result<T> host = device;
  gradient_on_host(test, host);
  EXPECT_EQ(host.target, device.target);
  EXPECT_EQ(host.source, device.source);
  EXPECT_EQ(host.weight, device.weight);
  EXPECT_EQ(host.bias, device.bias);
  EXPECT_EQ(run_on_device(test), device);
}

TYPED_TEST(EdgeConvCudaTest, AgreesWithTheHost) {
  for (Case<TypeParam>& test : table<TypeParam>()) {
    expect_right(test);
    if (test.outputs == 0 || std::is_same_v<TypeParam, double>) continue;
    test.tf32 = true;
    expect_right(test);
  }
}

// So many entries that rows are taken in another order.
TYPED_TEST(EdgeConvCudaTest, AgreesWithTheHostOnManyEntries) {
  for (const Kind& kind : kKinds) {
    Case<TypeParam> test = of_kind<TypeParam>(kind, "many entries", 4200, 6, 64);
    fill(test, 5);
    expect_right(test);
  }
}

TYPED_TEST(EdgeConvCudaTest, NaNReachesTheMaximum) {
  for (const bool tf32 : {false, true}) {
    Case<TypeParam> test{.name = "NaN", .num_sources = 10, .hidden = 8, .k = 4};
    test.relu = true;
    test.outputs = 5;
    test.tf32 = tf32;
    fill(test, 1);
    for (std::size_t e = 0; e < test.index.size(); ++e) test.index[e] = static_cast<std::int32_t>(4 + e % 4);
    test.source[5 * 8 + 1] = test.source[7 * 8 + 1] = std::numeric_limits<TypeParam>::quiet_NaN();
    const Result<TypeParam> device = run_on_device(test);
    EXPECT_TRUE(std::isnan(device.out[2]));
    EXPECT_EQ(device.kept[2], 1);
  }
}

TYPED_TEST(EdgeConvCudaTest, IndexBeyondTheSourcesIsNone) {
  for (const int outputs : {0, 9}) {
    Case<TypeParam> test{.name = "beyond", .num_sources = 40, .hidden = 22, .k = 6};
    test.relu = outputs > 0;
    test.outputs = outputs;
    fill(test, 3);
    Case<TypeParam> beyond = test;
    for (std::size_t e = 0; e < test.index.size(); e += 5) {
      test.index[e] = -1;
      beyond.index[e] = e % 2 == 0 ? 40 : -9;
    }
    EXPECT_EQ(run_on_device(test), run_on_device(beyond));
  }
}

}  // namespace
}  // namespace starling
