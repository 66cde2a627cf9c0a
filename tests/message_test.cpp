#include "starling/message.h"

#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <cstdlib>

#include "message_cases.h"
#include "starling/error.h"

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
Result<T> run(const Case<T>& test) {
  const Messages<T> messages = test.messages();
  const T kPoison = T(-12345);
  Result<T> out{std::vector<T>(test.outputs(), kPoison), std::vector<T>(test.outputs(), kPoison),
                std::vector<T>(test.features.size(), kPoison), std::vector<T>(test.index.size(), kPoison),
                std::vector<std::int32_t>(test.outputs(), -77)};
  aggregate<T>(messages, {out.mean.data(), out.max.data(), test.width, out.max_slot.data()});
  std::vector<std::byte> workspace(aggregate_gradient_workspace_bytes(messages), std::byte{0xCD});
  aggregate_gradient<T>(messages,
                        {test.mean_gradient.data(), test.max_gradient.data(), test.width, out.max_slot.data()},
                        out.features_gradient.data(), out.weight_gradient.data(), workspace);
  return out;
}

template <typename T>
void expect_near(const std::vector<T>& values, const Sums& expected, const std::string& what) {
  const double epsilon = std::is_same_v<T, float> ? 4e-6 : 1e-13;
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected.value[i], epsilon * (expected.size[i] + 1e-3)) << what << " " << i;
  }
}

template <typename T>
class MessageTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(MessageTest, Types);

TYPED_TEST(MessageTest, AgreesWithPlainLoops) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result<TypeParam> result = run(test);
    const Expected expected = brute_force(test, result.max_slot);
    expect_near(result.mean, expected.mean, "mean");
    expect_near(result.max, expected.max, "max");
    expect_near(result.features_gradient, expected.features_gradient, "gradient of the features");
    expect_near(result.weight_gradient, expected.weight_gradient, "gradient of the weights");
    // Near-ties may fall either way where exp is rounded; given weights leave no doubt.
    if (test.weights != Weights::distances || test.name == "ties") {
      EXPECT_EQ(result.max_slot, expected.max_slot);
    }
  }
}

TYPED_TEST(MessageTest, SameBytesAtEveryLevelAndOnAnyNumberOfThreads) {
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

TYPED_TEST(MessageTest, NaNReachesMeanAndMaximum) {
  Case<TypeParam> test{.name = "NaN", .num_sources = 10, .width = 8, .k = 4};
  fill(test, 1);
  for (std::size_t i = 0; i < 4; ++i) test.index[i] = static_cast<std::int32_t>(i);
  std::fill_n(test.weight.begin(), 4, TypeParam(0));
  test.features[1 * 8 + 2] = std::numeric_limits<TypeParam>::quiet_NaN();
  const Result<TypeParam> result = run(test);
  EXPECT_TRUE(std::isnan(result.mean[2]));
  EXPECT_TRUE(std::isnan(result.max[2]));
  EXPECT_EQ(result.max_slot[2], 1);
  EXPECT_FALSE(std::isnan(result.mean[3]));
}

TYPED_TEST(MessageTest, RefusesWhatDoesNotFit) {
  Case<TypeParam> test{.name = "good", .num_sources = 10, .width = 8, .k = 4};
  fill(test, 1);
  const auto expect = [&](ErrorKind kind, const char* text, auto change) {
    Messages<TypeParam> messages = test.messages();
    std::vector<TypeParam> out(test.outputs());
    Aggregates<TypeParam> aggregates{out.data(), nullptr, test.width, nullptr};
    change(messages, aggregates);
    try {
      aggregate(messages, aggregates);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  using M = Messages<TypeParam>;
  using A = Aggregates<TypeParam>;
  expect(ErrorKind::usage, "width is 0", [](M& m, A&) { m.width = 0; });
  expect(ErrorKind::usage, "width is 1025", [](M& m, A&) { m.width = 1025; });
  expect(ErrorKind::usage, "num_rows is -1", [](M& m, A&) { m.num_rows = -1; });
  expect(ErrorKind::usage, "factor is nan", [](M& m, A&) { m.factor = std::numeric_limits<TypeParam>::quiet_NaN(); });
  expect(ErrorKind::usage, "index is null", [](M& m, A&) { m.index = nullptr; });
  expect(ErrorKind::usage, "stride is 7", [](M&, A& a) { a.stride = 7; });
  expect(ErrorKind::usage, "expected one of them", [](M& m, A&) { m.weight = m.distance2; });
  expect(ErrorKind::usage, "same points", [](M& m, A&) { m.subtract = true, m.num_rows = 3; });
  std::vector<std::int32_t> index = test.index;
  index[5] = 10;
  expect(ErrorKind::input, "index[5] is 10", [&](M& m, A&) { m.index = index.data(); });
  index[5] = -2;
  expect(ErrorKind::input, "index[5] is -2", [&](M& m, A&) { m.index = index.data(); });
  std::vector<std::int64_t> splits = {0, 4, 3, 8};
  expect(ErrorKind::usage, "neighbor_row_splits[2]",
         [&](M& m, A&) { m.neighbor_row_splits = splits.data(), m.num_rows = 3, m.num_entries = 8; });
}

}  // namespace
}  // namespace starling
