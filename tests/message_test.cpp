#include "starling/message.h"

#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <cstdlib>

#include "message_cases.h"
#include "starling/error.h"

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
Result<T, S> run(const Case<T, S>& test, bool find_holders_first = false) {
  Messages<T, S> messages = test.messages();
  S poison;
  storage::store(poison, T(-12345));
  Result<T, S> out{std::vector<S>(test.outputs(), poison), std::vector<S>(test.outputs(), poison),
                   std::vector<S>(test.features.size(), poison), std::vector<T>(test.index.size(), T(-12345)),
                   std::vector<std::int32_t>(test.outputs(), -77)};
  aggregate<T>(messages, {out.mean.data(), out.max.data(), test.width, out.max_slot.data()});
  std::vector<std::byte> of_holders;
  if (find_holders_first) {
    const Lists lists{messages.index,
                      messages.num_rows,
                      messages.k,
                      messages.neighbor_row_splits,
                      static_cast<std::int64_t>(test.index.size()),
                      messages.num_sources};
    of_holders.assign(find_holders_workspace_bytes(lists), std::byte{0xCD});
    messages.holders = find_holders(lists, of_holders);
  }
  std::vector<std::byte> workspace(aggregate_gradient_workspace_bytes(messages), std::byte{0xCD});
  aggregate_gradient<T>(messages,
                        {test.mean_gradient.data(), test.max_gradient.data(), test.width, out.max_slot.data()},
                        out.features_gradient.data(), out.weight_gradient.data(), workspace);
  return out;
}

/// Sums are in T, and then rounded to S.
template <typename T, typename S>
void expect_near(const std::vector<S>& values, const Sums& expected, const std::string& what) {
  const double epsilon = std::is_same_v<T, float> ? 4e-6 : 1e-13;
  const double least = std::is_same_v<S, Float16> ? 0x1p-25 : 0;  // half a step of its smallest numbers
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double rounding = kRounding<S> * std::abs(expected.value[i]) + least;
    ASSERT_NEAR(number(values[i]), expected.value[i], epsilon * (expected.size[i] + 1e-3) + rounding)
        << what << " " << i;
  }
}

template <typename Types>
class MessageTest : public testing::Test {};
using StoredTypes =
    testing::Types<Stored<float, float>, Stored<double, double>, Stored<float, Float16>, Stored<float, BFloat16>>;
TYPED_TEST_SUITE(MessageTest, StoredTypes);

TYPED_TEST(MessageTest, AgreesWithPlainLoops) {
  using T = typename TypeParam::Computed;
  using S = typename TypeParam::Values;
  for (const Case<T, S>& test : table<T, S>()) {
    SCOPED_TRACE(test.name);
    const Result<T, S> result = run(test);
    const Expected expected = brute_force(test, result.max_slot);
    expect_near<T>(result.mean, expected.mean, "mean");
    expect_near<T>(result.max, expected.max, "max");
    expect_near<T>(result.features_gradient, expected.features_gradient, "gradient of the features");
    expect_near<T>(result.weight_gradient, expected.weight_gradient, "gradient of the weights");
    // Near-ties may fall either way where exp is rounded; given weights leave no doubt.
    if (test.weights != Weights::distances || test.name == "ties") {
      EXPECT_EQ(result.max_slot, expected.max_slot);
    }
  }
}

TYPED_TEST(MessageTest, SameBytesAtEveryLevelOnAnyNumberOfThreadsAndWithHoldersGiven) {
  using T = typename TypeParam::Computed;
  using S = typename TypeParam::Values;
  for (const Case<T, S>& test : table<T, S>()) {
    SCOPED_TRACE(test.name);
    const Result<T, S> first = run(test);
    EXPECT_EQ(run(test, true), first);
    for (const SimdLevel level : simd_levels()) {
      setenv("STARLING_SIMD", to_string(level).c_str(), 1);
      for (const int threads : {1, 3}) {
        Result<T, S> other;
        tbb::task_arena(threads).execute([&] { other = run(test); });
        EXPECT_EQ(other, first) << to_string(level) << " " << threads;
      }
    }
    unsetenv("STARLING_SIMD");
  }
}

TYPED_TEST(MessageTest, NaNReachesMeanAndMaximum) {
  using T = typename TypeParam::Computed;
  using S = typename TypeParam::Values;
  Case<T, S> test{.name = "NaN", .num_sources = 10, .width = 8, .k = 4};
  fill(test, 1);
  for (std::size_t i = 0; i < 4; ++i) test.index[i] = static_cast<std::int32_t>(i);
  std::fill_n(test.weight.begin(), 4, T(0));
  storage::store(test.features[1 * 8 + 2], std::numeric_limits<T>::quiet_NaN());
  const Result<T, S> result = run(test);
  EXPECT_TRUE(std::isnan(number(result.mean[2])));
  EXPECT_TRUE(std::isnan(number(result.max[2])));
  EXPECT_EQ(result.max_slot[2], 1);
  EXPECT_FALSE(std::isnan(number(result.mean[3])));
}

TYPED_TEST(MessageTest, RefusesWhatDoesNotFit) {
  using T = typename TypeParam::Computed;
  using S = typename TypeParam::Values;
  Case<T, S> test{.name = "good", .num_sources = 10, .width = 8, .k = 4};
  fill(test, 1);
  const auto expect = [&](ErrorKind kind, const char* text, auto change) {
    Messages<T, S> messages = test.messages();
    std::vector<S> out(test.outputs());
    Aggregates<S> aggregates{out.data(), nullptr, test.width, nullptr};
    change(messages, aggregates);
    try {
      aggregate(messages, aggregates);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  using M = Messages<T, S>;
  using A = Aggregates<S>;
  expect(ErrorKind::usage, "width is 0", [](M& m, A&) { m.width = 0; });
  expect(ErrorKind::usage, "width is 1025", [](M& m, A&) { m.width = 1025; });
  expect(ErrorKind::usage, "num_rows is -1", [](M& m, A&) { m.num_rows = -1; });
  expect(ErrorKind::usage, "factor is nan", [](M& m, A&) { m.factor = std::numeric_limits<T>::quiet_NaN(); });
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

TEST(HoldersTest, AreTheEntriesOfEachPointInAscendingOrder) {
  const std::vector<std::int32_t> index = {2, 0, -1, 0, 2, 2};
  const Lists lists{.index = index.data(), .num_rows = 3, .k = 2, .num_entries = 6, .num_points = 4};
  std::vector<std::byte> workspace(find_holders_workspace_bytes(lists), std::byte{0xCD});
  const Holders holders = find_holders(lists, workspace);
  EXPECT_EQ(std::vector<std::uint32_t>(holders.begin, holders.begin + 5), (std::vector<std::uint32_t>{0, 2, 2, 5, 5}));
  EXPECT_EQ(std::vector<std::uint32_t>(holders.entry, holders.entry + 5), (std::vector<std::uint32_t>{1, 3, 0, 4, 5}));
}

TEST(HoldersTest, RefusesWhatDoesNotFit) {
  const std::vector<std::int32_t> index = {2, 0, 4, 0};
  const Lists good{.index = index.data(), .num_rows = 2, .k = 2, .num_entries = 4, .num_points = 5};
  std::vector<std::byte> workspace(find_holders_workspace_bytes(good) + 1024);
  const auto expect = [&](ErrorKind kind, const char* text, auto change) {
    Lists lists = good;
    std::span<std::byte> memory = workspace;
    change(lists, memory);
    try {
      find_holders(lists, memory);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  using L = Lists;
  using M = std::span<std::byte>;
  find_holders(good, workspace);
  expect(ErrorKind::usage, "num_rows is -1", [](L& l, M&) { l.num_rows = -1; });
  expect(ErrorKind::usage, "num_entries is 5: expected num_rows times k, 4", [](L& l, M&) { l.num_entries = 5; });
  expect(ErrorKind::usage, "index is null", [](L& l, M&) { l.index = nullptr; });
  expect(ErrorKind::usage, "workspace of 7 bytes", [](L&, M& m) { m = m.first(7); });
  expect(ErrorKind::input, "index[2] is 4: expected −1 or a row below 4", [](L& l, M&) { l.num_points = 4; });
  const std::vector<std::int64_t> splits = {0, 3, 2};
  expect(ErrorKind::usage, "neighbor_row_splits[2]", [&](L& l, M&) { l.row_splits = splits.data(); });
}

// Every number of 16 bits, and floats around all of them.
TEST(StorageTest, RoundsToTheNearestAndTiesToEven) {
  const auto check = []<typename S>(S) {
    std::uint32_t wrong = 0;
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const S value{static_cast<std::uint16_t>(bits)};
      const float x = storage::computed(value);
      S same;
      storage::store(same, x);
      if (std::isnan(x) ? !std::isnan(number(same)) : !(same == value)) ++wrong;
      const S above{static_cast<std::uint16_t>(bits + 1)};
      if (std::isnan(x) || std::isinf(x) || !std::isfinite(storage::computed(above)) || bits % 0x8000 == 0x7FFF)
        continue;
      // Exact in double: the middle of two neighbours goes to the even one, what is beside it to the nearer one.
      const double middle = (double{x} + number(above)) / 2;
      const auto rounded = static_cast<float>(middle);
      if (double{rounded} != middle) continue;
      S tie, below, beyond;
      storage::store(tie, rounded);
      storage::store(below, std::nextafterf(rounded, x));
      storage::store(beyond, std::nextafterf(rounded, storage::computed(above)));
      if (!(tie == (bits % 2 == 0 ? value : above)) || !(below == value) || !(beyond == above)) ++wrong;
    }
    return wrong;
  };
  EXPECT_EQ(check(Float16()), 0U);
  EXPECT_EQ(check(BFloat16()), 0U);
  Float16 large;
  storage::store(large, 65519.9F);
  EXPECT_EQ(storage::computed(large), 65504.F);
  storage::store(large, 65520.F);
  EXPECT_TRUE(std::isinf(storage::computed(large)));
}

}  // namespace
}  // namespace starling
