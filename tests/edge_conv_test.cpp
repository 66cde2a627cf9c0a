#include "starling/edge_conv.h"

#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <cstdlib>

#include "edge_conv_cases.h"
#include "starling/error.h"

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
Result<T> run(const Case<T>& test) {
  const EdgeConv<T> conv = test.conv();
  const T kPoison = T(-12345);
  Result<T> result{std::vector<T>(test.out_size(), kPoison),
                   std::vector<T>(test.target.size(), kPoison),
                   std::vector<T>(test.source.size(), kPoison),
                   std::vector<T>(test.weight.size(), kPoison),
                   std::vector<T>(test.bias.size(), kPoison),
                   std::vector<std::int32_t>(test.out_size(), -77),
                   std::vector<std::int32_t>(static_cast<std::size_t>(test.num_rows()), -77)};
  std::vector<std::byte> workspace(edge_conv_workspace_bytes(conv), std::byte{0xCD});
  edge_conv<T>(conv, {result.out.data(), result.kept.data(), result.found.data()}, workspace);
  workspace.assign(edge_conv_gradient_workspace_bytes(conv), std::byte{0xCD});
  const bool has_weight = test.outputs > 0;
  edge_conv_gradient<T>(conv, test.out_gradient.data(), result.kept.data(),
                        {result.target.data(), result.source.data(), has_weight ? result.weight.data() : nullptr,
                         has_weight ? result.bias.data() : nullptr},
                        workspace);
  return result;
}

template <typename T>
void expect_near(const std::vector<T>& values, const Sums& expected, const std::string& what) {
  const double epsilon = std::is_same_v<T, float> ? 4e-6 : 1e-13;
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_NEAR(values[i], expected.value[i], epsilon * (expected.size[i] + 1e-3)) << what << " " << i;
}

template <typename T>
class EdgeConvTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(EdgeConvTest, Types);

TYPED_TEST(EdgeConvTest, AgreesWithPlainLoops) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result<TypeParam> result = run(test);
    const Expected expected = brute_force(test, result.kept);
    expect_near(result.out, expected.out, "out");
    expect_near(result.target, expected.target, "gradient of p");
    expect_near(result.source, expected.source, "gradient of q");
    expect_near(result.weight, expected.weight, "gradient of the weight");
    expect_near(result.bias, expected.bias, "gradient of the bias");
    EXPECT_EQ(result.found, expected.found);
    if (test.aggregation != EdgeAggregation::max && !test.relu) {
      EXPECT_EQ(result.kept, std::vector<std::int32_t>(test.out_size(), -77));  // left alone
    } else if (test.outputs == 0 || test.name.find("ties") != std::string::npos) {
      EXPECT_EQ(result.kept, expected.kept);
    }
  }
}

TYPED_TEST(EdgeConvTest, SameBytesAtEveryLevelAndOnAnyNumberOfThreads) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result<TypeParam> first = run(test);
    for (const SimdLevel level : simd_levels()) {
      setenv("STARLING_SIMD", to_string(level).c_str(), 1);
      for (const int threads : {1, 3}) {
        Result<TypeParam> other;
        tbb::task_arena(threads).execute([&] { other = run(test); });
        EXPECT_EQ(other, first) << to_string(level) << " " << threads;
      }
    }
    unsetenv("STARLING_SIMD");
  }
}

TYPED_TEST(EdgeConvTest, NaNReachesItsAggregate) {
  for (const bool two_layers : {false, true}) {
    Case<TypeParam> test{.name = "NaN", .num_sources = 10, .hidden = 8, .k = 4};
    test.relu = two_layers;
    test.outputs = two_layers ? 8 : 0;
    fill(test, 1);
    for (std::size_t e = 0; e < test.index.size(); ++e) test.index[e] = static_cast<std::int32_t>(4 + e % 4);
    test.source[5 * 8 + 2] = std::numeric_limits<TypeParam>::quiet_NaN();
    const Result<TypeParam> result = run(test);
    EXPECT_TRUE(std::isnan(result.out[2]));
    EXPECT_EQ(result.kept[2], 1);
    EXPECT_EQ(std::isnan(result.out[3]), two_layers);
  }
}

TYPED_TEST(EdgeConvTest, GradientsThatAreNotWantedAreLeftOut) {
  Case<TypeParam> test{.name = "some", .num_sources = 40, .hidden = 12, .k = 5};
  test.relu = true;
  test.outputs = 7;
  fill(test, 2);
  const Result<TypeParam> all = run(test);
  std::vector<std::byte> workspace(edge_conv_gradient_workspace_bytes(test.conv()));
  const auto gradient = [&](const EdgeConvGradients<TypeParam>& gradients) {
    edge_conv_gradient<TypeParam>(test.conv(), test.out_gradient.data(), all.kept.data(), gradients, workspace);
  };
  std::vector<TypeParam> target(test.target.size()), source(test.source.size()), weight(test.weight.size());
  gradient({.target = target.data()});
  gradient({.source = source.data()});
  gradient({.weight = weight.data()});
  EXPECT_EQ(target, all.target);
  EXPECT_EQ(source, all.source);
  EXPECT_EQ(weight, all.weight);
}

TYPED_TEST(EdgeConvTest, RefusesWhatDoesNotFit) {
  Case<TypeParam> test{.name = "good", .num_sources = 10, .hidden = 8, .k = 4};
  test.relu = true;
  test.outputs = 6;
  fill(test, 1);
  const auto expect = [&](ErrorKind kind, const char* text, auto change) {
    EdgeConv<TypeParam> conv = test.conv();
    std::vector<TypeParam> out(test.out_size());
    EdgeConvResult<TypeParam> result{out.data(), nullptr, nullptr};
    std::vector<std::byte> workspace(edge_conv_workspace_bytes(conv));
    change(conv, result);
    try {
      edge_conv<TypeParam>(conv, result, workspace);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  using C = EdgeConv<TypeParam>;
  using R = EdgeConvResult<TypeParam>;
  expect(ErrorKind::usage, "hidden is 0", [](C& c, R&) { c.hidden = 0; });
  expect(ErrorKind::usage, "hidden is 257: expected 1 to 256", [](C& c, R&) { c.hidden = 257; });
  expect(ErrorKind::usage, "outputs is 257: expected 1 to 256", [](C& c, R&) { c.outputs = 257; });
  expect(ErrorKind::usage, "num_rows is -1", [](C& c, R&) { c.num_rows = -1; });
  expect(ErrorKind::usage, "index is null", [](C& c, R&) { c.index = nullptr; });
  expect(ErrorKind::usage, "target is null", [](C& c, R&) { c.target = nullptr; });
  expect(ErrorKind::usage, "source is null", [](C& c, R&) { c.source = nullptr; });
  expect(ErrorKind::usage, "out is null", [](C&, R& r) { r.out = nullptr; });
  expect(ErrorKind::usage, "weight is given without max and relu", [](C& c, R&) { c.relu = false; });
  expect(ErrorKind::usage, "weight is given without max and relu",
         [](C& c, R&) { c.aggregation = EdgeAggregation::mean; });
  expect(ErrorKind::usage, "max with relu and without weight", [](C& c, R&) { c.weight = c.bias = nullptr; });
  expect(ErrorKind::usage, "bias is given without weight", [](C& c, R&) { c.weight = nullptr, c.relu = false; });
  expect(ErrorKind::usage, "workspace", [](C& c, R&) { c.hidden = 200; });
  std::vector<std::int32_t> index = test.index;
  index[5] = 10;
  expect(ErrorKind::input, "index[5] is 10", [&](C& c, R&) { c.index = index.data(); });
  index[5] = -2;
  expect(ErrorKind::input, "index[5] is -2", [&](C& c, R&) { c.index = index.data(); });
  std::vector<std::int64_t> splits = {0, 4, 3, 8};
  expect(ErrorKind::usage, "neighbor_row_splits[2]",
         [&](C& c, R&) { c.neighbor_row_splits = splits.data(), c.num_rows = 3, c.num_entries = 8; });
}

}  // namespace
}  // namespace starling
