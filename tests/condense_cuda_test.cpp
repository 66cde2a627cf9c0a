#include <gtest/gtest.h>

#include <limits>

#include "condense_cases.h"
#include "on_device.h"

namespace starling {
namespace {

using namespace condense_cases;

struct DeviceResult {
  Result result;
  std::int32_t bad_row;
};

template <typename T>
DeviceResult run_on_device(const Case<T>& test) {
  const OnDevice<T> beta(test.beta), x(test.x), scale(test.scale);
  const OnDevice<std::int32_t> splits(test.row_splits), bad_row(1);
  CondenseHits<T> hits = test.hits();
  hits.beta = beta.data();
  hits.x = x.data();
  if (hits.scale != nullptr) hits.scale = scale.data();
  if (hits.row_splits != nullptr) hits.row_splits = splits.data();
  const OnDevice<std::int32_t> id(test.beta.size()), point(test.beta.size()),
      num_points(static_cast<std::size_t>(test.events()));
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  const OnDevice<std::byte> workspace(condense_workspace_bytes(hits, test.options, execution));
  replay_twice(stream, [&] {
    condense(hits, test.options, {id.data(), point.data(), num_points.data()}, workspace.span(), execution);
  });
  return {{id.get(), point.get(), num_points.get()}, bad_row.get()[0]};
}

template <typename T>
class CondenseCudaTest : public CudaTest {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CondenseCudaTest, Types);

TYPED_TEST(CondenseCudaTest, Golden) {
  STARLING_NEEDS_DATA("dynamic_networks");
  for (const auto& [test, expected] : golden<TypeParam>()) EXPECT_EQ(run_on_device(test).result, expected) << test.name;
}

TYPED_TEST(CondenseCudaTest, IsTheGreedySequence) {
  for (const Case<TypeParam>& test : table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Result expected = reference(test);
    const auto [found, bad_row] = run_on_device(test);
    EXPECT_EQ(bad_row, -1);
    EXPECT_EQ(found.num_points, expected.num_points);
    EXPECT_EQ(found.id, expected.id);
    EXPECT_EQ(found.point, expected.point);
  }
}

// Large enough for every block of the grid, and for points of many rounds: as on the host.
TYPED_TEST(CondenseCudaTest, LargeEventsAreAsOnTheHost) {
  for (const CondenseAssign assign : {CondenseAssign::collect, CondenseAssign::nearest}) {
    for (const double t_d : {0.02, 0.3}) {
      const Case<TypeParam> test =
          shower_case<TypeParam>("", {150'001, 0, 3, 40'000}, 700, 3, 0, true, {0, t_d, assign}, 3);
      Result host{std::vector<std::int32_t>(test.beta.size()), std::vector<std::int32_t>(test.beta.size()),
                  std::vector<std::int32_t>(4)};
      std::vector<std::byte> workspace(condense_workspace_bytes(test.hits(), test.options));
      condense(test.hits(), test.options, {host.id.data(), host.point.data(), host.num_points.data()}, workspace);
      const Result device = run_on_device(test).result;
      EXPECT_EQ(device.num_points, host.num_points);
      EXPECT_TRUE(device.id == host.id);
      EXPECT_TRUE(device.point == host.point);
    }
  }
}

TYPED_TEST(CondenseCudaTest, NamesTheFirstBadRowAndStaysInRange) {
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  for (const CondenseAssign assign : {CondenseAssign::collect, CondenseAssign::nearest}) {
    Case<TypeParam> test = shower_case<TypeParam>("", {700, 300}, 5, 3, 0, true, {0, 0.5, assign}, 4);
    test.x[3 * 621 + 1] = nan;
    test.beta[500] = nan;
    test.beta[900] = std::numeric_limits<TypeParam>::infinity();
    test.scale[300] = nan;
    test.scale[123] = 0;
    test.beta[130] = TypeParam(1.5);
    const auto [result, bad_row] = run_on_device(test);
    EXPECT_EQ(bad_row, 123);
    for (std::int32_t row = 0; row < test.size(); ++row) {
      const std::int32_t event = row < 700 ? 0 : 1;
      ASSERT_GE(result.id[row], -1);
      ASSERT_LT(result.id[row], result.num_points[event]);
      ASSERT_GE(result.point[row], result.id[row] < 0 ? -1 : test.row_splits[event]);
      ASSERT_LT(result.point[row], test.row_splits[event + 1]);
    }
  }
}

TYPED_TEST(CondenseCudaTest, NamesABetaOutsideZeroToOne) {
  for (const double beta : {1.5, -0.25}) {
    Case<TypeParam> test = shower_case<TypeParam>("", {700}, 5, 3, 0, true, {0, 0.5}, 4);
    test.beta[130] = TypeParam(beta);
    EXPECT_EQ(run_on_device(test).bad_row, 130);
  }
}

TYPED_TEST(CondenseCudaTest, RefusesASmallWorkspace) {
  const Case<TypeParam> test = shower_case<TypeParam>("", {20}, 3, 2, 0, false, {0.2, 0.5}, 5);
  const Execution execution{.device = Device::cuda};
  const OnDevice<std::byte> workspace(condense_workspace_bytes(test.hits(), test.options, execution) - 1);
  std::int32_t none = 0;
  expect_usage(
      [&] {
        condense(test.hits(), test.options, {&none, &none}, workspace.span(), execution);
      },
      "condense: workspace of");
}

}  // namespace
}  // namespace starling
