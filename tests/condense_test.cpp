#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <map>
#include <span>

#include "condense_cases.h"
#include "starling/error.h"

namespace starling {
namespace {

using namespace condense_cases;

template <typename T>
Result run(const Case<T>& test) {
  Result result{std::vector<std::int32_t>(test.beta.size(), -777), std::vector<std::int32_t>(test.beta.size(), -777),
                std::vector<std::int32_t>(static_cast<std::size_t>(test.events()), -777)};
  std::vector<std::byte> workspace(condense_workspace_bytes(test.hits(), test.options), std::byte{0xCD});
  condense(test.hits(), test.options, {result.id.data(), result.point.data(), result.num_points.data()}, workspace);
  return result;
}

template <typename T>
class CondenseTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CondenseTest, Types);

TYPED_TEST(CondenseTest, Golden) {
  STARLING_NEEDS_DATA("dynamic_networks");
  for (const auto& [test, expected] : golden<TypeParam>()) {
    EXPECT_EQ(run(test), expected) << test.name;
    EXPECT_EQ(reference(test), expected) << test.name;
  }
}

TYPED_TEST(CondenseTest, IsTheGreedySequence) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result expected = reference(test), found = run(test);
    EXPECT_EQ(found.num_points, expected.num_points);
    EXPECT_EQ(found.id, expected.id);
    EXPECT_EQ(found.point, expected.point);
  }
}

// The table holds what it says: assertions on the reference, so that no case is empty of meaning.
TYPED_TEST(CondenseTest, CasesAreWhatTheyAreCalled) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result result = reference(test);
    for (const auto& [name, num_points] : std::map<std::string, std::vector<std::int32_t>>{{"no point", {0, 0}},
                                                                                           {"one point", {1, 1, 1}},
                                                                                           {"every hit", {2600, 40}},
                                                                                           {"chain", {650}},
                                                                                           {"signed zeros", {3}}}) {
      if (test.name.starts_with(name)) {
        EXPECT_EQ(result.num_points, num_points);
      }
    }
  }
}

TYPED_TEST(CondenseTest, SameBytesOnAnyNumberOfThreads) {
  const Case<TypeParam> test = shower_case<TypeParam>("", {300, 0, 1, 500, 20}, 12, 3, 0, true, {0.2, 0.5}, 1);
  const Result first = run(test);
  for (const int threads : {1, 3}) tbb::task_arena(threads).execute([&] { EXPECT_EQ(run(test), first); });
}

TYPED_TEST(CondenseTest, RefusesWhatDoesNotFit) {
  const Case<TypeParam> good = shower_case<TypeParam>("", {20, 10}, 3, 2, 0, true, {0.2, 0.5}, 2);
  const auto expect = [&](ErrorKind kind, const char* text, auto change) {
    Case<TypeParam> test = good;
    CondenseHits<TypeParam> hits = test.hits();
    std::vector<std::byte> workspace(condense_workspace_bytes(hits, good.options));
    Result result{std::vector<std::int32_t>(30), std::vector<std::int32_t>(30), {}};
    Condensed out{result.id.data(), result.point.data()};
    std::span<std::byte> lent(workspace);
    change(test, hits, out, lent);
    try {
      condense(hits, test.options, out, lent);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  using C = Case<TypeParam>;
  using H = CondenseHits<TypeParam>;
  using O = Condensed;
  using W = std::span<std::byte>;
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  const TypeParam infinity = std::numeric_limits<TypeParam>::infinity();
  expect(ErrorKind::usage, "dimensions is 9", [](C&, H& h, O&, W&) { h.dimensions = 9; });
  expect(ErrorKind::usage, "dimensions is 0", [](C&, H& h, O&, W&) { h.dimensions = 0; });
  expect(ErrorKind::usage, "num_hits is -1", [](C&, H& h, O&, W&) { h.num_hits = -1; });
  expect(ErrorKind::usage, "num_events is -1", [](C&, H& h, O&, W&) { h.num_events = -1; });
  expect(ErrorKind::usage, "num_events is 0 with num_hits 30", [](C&, H& h, O&, W&) { h.num_events = 0; });
  expect(ErrorKind::usage, "num_events is 2 without row_splits", [](C&, H& h, O&, W&) { h.row_splits = nullptr; });
  expect(ErrorKind::usage, "beta is null", [](C&, H& h, O&, W&) { h.beta = nullptr; });
  expect(ErrorKind::usage, "x is null", [](C&, H& h, O&, W&) { h.x = nullptr; });
  expect(ErrorKind::usage, "id is null", [](C&, H&, O& o, W&) { o.id = nullptr; });
  expect(ErrorKind::usage, "point is null", [](C&, H&, O& o, W&) { o.point = nullptr; });
  expect(ErrorKind::usage, "condense: workspace of", [](C&, H&, O&, W& w) { w = w.first(w.size() - 1); });
  expect(ErrorKind::usage, "t_beta is nan", [](C& c, H&, O&, W&) { c.options.t_beta = std::nan(""); });
  expect(ErrorKind::usage, "t_d is -1", [](C& c, H&, O&, W&) { c.options.t_d = -1; });
  expect(ErrorKind::usage, "t_d is nan", [](C& c, H&, O&, W&) { c.options.t_d = std::nan(""); });
  expect(ErrorKind::input, "beta of row 3 is nan", [&](C& c, H&, O&, W&) { c.beta[3] = nan; });
  expect(ErrorKind::input, "beta of row 4 is 1.5", [](C& c, H&, O&, W&) { c.beta[4] = TypeParam(1.5); });
  expect(ErrorKind::input, "beta of row 5 is -0.25", [](C& c, H&, O&, W&) { c.beta[5] = TypeParam(-0.25); });
  expect(ErrorKind::input, "x of row 2 is inf", [&](C& c, H&, O&, W&) { c.x[5] = infinity; });
  expect(ErrorKind::input, "scale of row 7 is 0", [](C& c, H&, O&, W&) { c.scale[7] = 0; });
  expect(ErrorKind::input, "scale of row 8 is nan", [&](C& c, H&, O&, W&) { c.scale[8] = nan; });
  expect(ErrorKind::usage, "the last row split is 29", [](C& c, H&, O&, W&) { c.row_splits[2] = 29; });
  expect(ErrorKind::usage, "row_splits[2] is less",
         [](C& c, H&, O&, W&) { c.row_splits[1] = 31, c.row_splits[2] = 30; });
}

// d² of the first two hits is +infinity: beyond every finite t_d, whose square overflows too, but within an infinite
// one.
TYPED_TEST(CondenseTest, OnlyAnInfiniteReachTakesADistanceThatOverflows) {
  using T = TypeParam;
  const T far = std::numeric_limits<T>::max() / 2;
  const double largest = std::numeric_limits<T>::max();
  for (const CondenseAssign assign : {CondenseAssign::collect, CondenseAssign::nearest}) {
    const auto ids = [&](double t_d) {
      return run(few_hits<T>("", {T(1), T(0.5), T(0.25)}, {0, far, 1}, 1, {0, t_d, assign})).id;
    };
    EXPECT_EQ(ids(largest), (std::vector<std::int32_t>{0, 1, 0}));
    EXPECT_EQ(ids(kInfinity), (std::vector<std::int32_t>{0, 0, 0}));
  }
}

}  // namespace
}  // namespace starling
