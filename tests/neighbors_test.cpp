#include "starling/neighbors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "neighbors_cases.h"
#include "real_clouds.h"
#include "starling/device.h"
#include "starling/error.h"

namespace {

using namespace starling;
using neighbor_cases::Case;
using neighbor_cases::Rows;

class Level {
 public:
  explicit Level(SimdLevel level) { setenv("STARLING_SIMD", to_string(level).c_str(), 1); }
  ~Level() { unsetenv("STARLING_SIMD"); }
};

template <typename T>
Rows<T> run_knn(const NeighborSearch<T>& search, int k) {
  const std::int32_t rows = search.queries != nullptr ? search.num_queries : search.num_points;
  const auto size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(k);
  Rows<T> result{std::vector<std::int32_t>(size, -2), std::vector<T>(size, T(-2))};
  std::vector<std::byte> workspace(knn_workspace_bytes(search, k));
  knn(search, k, result.index.data(), result.distance2.data(), std::span(workspace));
  return result;
}

template <typename T>
struct Lists {
  std::vector<std::int32_t> count, found;
  Rows<T> rows;
};

template <typename T>
Lists<T> run_radius(const NeighborSearch<T>& search, std::int32_t max_neighbors) {
  const auto rows = static_cast<std::size_t>(search.queries != nullptr ? search.num_queries : search.num_points);
  Lists<T> lists;
  lists.count.resize(rows);
  lists.found.resize(rows);
  std::vector<std::byte> workspace(radius_workspace_bytes(search));
  radius_count(search, max_neighbors, lists.count.data(), lists.found.data(), std::span(workspace));
  std::vector<std::int64_t> splits(rows + 1, 0);
  std::partial_sum(lists.count.begin(), lists.count.end(), splits.begin() + 1, std::plus<std::int64_t>());
  lists.rows.index.resize(static_cast<std::size_t>(splits.back()));
  lists.rows.distance2.resize(static_cast<std::size_t>(splits.back()));
  radius_fill(search, splits.data(), lists.rows.index.data(), lists.rows.distance2.data(), std::span(workspace));
  return lists;
}

/// The first row that differs, for a message.
template <typename T>
std::string difference(const Rows<T>& expected, const Rows<T>& got, int k) {
  for (std::size_t i = 0; i < expected.index.size(); ++i) {
    if (expected.index[i] == got.index[i] && std::memcmp(&expected.distance2[i], &got.distance2[i], sizeof(T)) == 0) {
      continue;
    }
    return "query " + std::to_string(i / k) + ", place " + std::to_string(i % k) + ": expected " +
           std::to_string(expected.index[i]) + " at " + std::to_string(expected.distance2[i]) + ", got " +
           std::to_string(got.index[i]) + " at " + std::to_string(got.distance2[i]);
  }
  return "";
}

template <typename T>
class Neighbors : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Neighbors, Scalars);

TYPED_TEST(Neighbors, AreThoseOfBruteForce) {
  for (const Case<TypeParam>& test : neighbor_cases::table<TypeParam>()) {
    const Rows<TypeParam> expected = brute_force(test);
    for (const SimdLevel level : simd_levels()) {
      SCOPED_TRACE(test.name + " at " + to_string(level));
      const Level set(level);
      EXPECT_EQ(difference(expected, run_knn(test.search(), test.k), test.k), "");
    }
  }
}

TYPED_TEST(Neighbors, DoNotDependOnThreads) {
  const Case<TypeParam> test{
      .name = "threads", .dimensions = 4, .k = 20, .points = clouds::cluster<TypeParam>(20000, 4, 1)};
  tbb::task_arena one(1);
  tbb::task_arena four(4);
  const auto expected = one.execute([&] { return run_knn(test.search(), test.k); });
  EXPECT_EQ(difference(expected, four.execute([&] { return run_knn(test.search(), test.k); }), test.k), "");
}

TYPED_TEST(Neighbors, WithinARadiusAreThoseOfBruteForce) {
  for (Case<TypeParam> test : neighbor_cases::table<TypeParam>()) {
    if (!std::isfinite(test.max_radius) && test.num_points() > 300) test.max_radius = 0.15;
    const NeighborSearch<TypeParam> search = test.search();
    const std::int32_t most = test.k % 2 == 0 ? test.k : std::numeric_limits<std::int32_t>::max();
    std::vector<std::int32_t> count;
    std::vector<std::int32_t> found;
    Rows<TypeParam> expected;
    for (std::int32_t row = 0; row < test.num_queries(); ++row) {
      const auto neighbors = neighbor_cases::all_neighbors(search, row);
      found.push_back(static_cast<std::int32_t>(neighbors.size()));
      count.push_back(std::min(found.back(), most));
      for (std::int32_t i = 0; i < count.back(); ++i) {
        expected.distance2.push_back(neighbors[static_cast<std::size_t>(i)].first);
        expected.index.push_back(neighbors[static_cast<std::size_t>(i)].second);
      }
    }
    for (const SimdLevel level : simd_levels()) {
      SCOPED_TRACE(test.name + " at " + to_string(level));
      const Level set(level);
      const Lists<TypeParam> lists = run_radius(search, most);
      EXPECT_EQ(lists.found, found);
      EXPECT_EQ(lists.count, count);
      EXPECT_EQ(lists.rows, expected);
    }
  }
}

TYPED_TEST(Neighbors, ExactlyAtTheRadiusAreWithin) {
  for (const Case<TypeParam>& test : neighbor_cases::pairs_at_the_radius<TypeParam>()) {
    SCOPED_TRACE(test.name);
    EXPECT_EQ(run_knn(test.search(), test.k).index, (std::vector<std::int32_t>{1, -1, 0, -1}));
    const Lists<TypeParam> lists = run_radius(test.search(), 10);
    EXPECT_EQ(lists.count, (std::vector<std::int32_t>{1, 1}));
    EXPECT_EQ(lists.rows.index, (std::vector<std::int32_t>{1, 0}));
  }
}

// A root in double is as good as exact for floats.
TEST(NeighborsInFloat, AtTheRootOfAnyIntegerAreWithin) {
  std::vector<float> line(4 * 40);
  for (std::size_t i = 0; i < line.size(); ++i) line[i] = static_cast<float>((i / 4 * (i % 4 + 3)) % 29);
  Case<float> test{.name = "roots", .dimensions = 4, .k = 40, .points = line};
  const Rows<float> all = run_knn(test.search(), test.k);
  for (std::size_t entry = 0; entry < all.index.size(); entry += 7) {
    test.max_radius = std::sqrt(static_cast<double>(all.distance2[entry]));
    const auto row = entry / 40;
    const Rows<float> within = run_knn(test.search(), test.k);
    EXPECT_EQ(within.index[entry], all.index[entry]) << "d² " << all.distance2[entry];
    for (std::size_t i = 40 * row; i < 40 * row + 40; ++i) {
      EXPECT_EQ(within.index[i] >= 0, all.distance2[i] <= all.distance2[entry]);
    }
  }
}

// Counting must not visit what lies well within the radius: as many points as there are queries would be quadratic.
TEST(NeighborsOfDenseClouds, WithinARadiusTakeNoLongerThanOfSparseOnes) {
  const std::int32_t n = 100'000;
  const std::vector<float> sparse = clouds::uniform<float>(n, 3, 1);
  const std::vector<float> coincident(sparse.size(), 0.25F);
  std::vector<float> dense = sparse;
  for (float& x : dense) x *= 1e-3F;
  const auto seconds = [&](const std::vector<float>& points, std::int32_t found) {
    NeighborSearch<float> search;
    search.points = points.data();
    search.num_points = n;
    search.dimensions = 3;
    search.max_radius = 0.01;
    const auto start = std::chrono::steady_clock::now();
    const Lists<float> lists = run_radius(search, 32);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (found > 0) {
      EXPECT_THAT(lists.found, testing::Each(found));
      EXPECT_EQ(lists.rows.index.size(), 32U * n);
    }
    return time.count();
  };
  const double at_least = seconds(sparse, 0);
  EXPECT_LT(seconds(coincident, n), 25 * at_least);
  EXPECT_LT(seconds(dense, n), 25 * at_least);
}

// The definition of d² in T must not stray from the distance itself.
TEST(NeighborsInDouble, DistancesAreRight) {
  const Case<float> test{.name = "double", .dimensions = 5, .k = 10, .points = clouds::cluster<float>(2000, 5, 3)};
  const Rows<float> rows = run_knn(test.search(), test.k);
  for (std::size_t i = 0; i < rows.index.size(); ++i) {
    const std::size_t row = i / 10;
    double sum = 0;
    for (std::size_t d = 0; d < 5; ++d) {
      const double difference =
          double(test.points[row * 5 + d]) - double(test.points[static_cast<std::size_t>(rows.index[i]) * 5 + d]);
      sum += difference * difference;
    }
    EXPECT_NEAR(rows.distance2[i], sum, 1e-6 * sum);
  }
}

template <typename T>
std::string message(ErrorKind kind, const NeighborSearch<T>& search, int k) {
  std::vector<std::int32_t> index(10000);
  std::vector<T> distance2(10000);
  std::vector<std::byte> workspace(100000);
  try {
    knn(search, k, index.data(), distance2.data(), std::span(workspace));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "no error";
}

TYPED_TEST(Neighbors, NotFiniteIsAnInputErrorNamingTheRow) {
  std::vector<TypeParam> points = clouds::uniform<TypeParam>(100, 3, 1);
  NeighborSearch<TypeParam> search;
  search.points = points.data();
  search.num_points = 100;
  search.dimensions = 3;
  points[3 * 70 + 1] = std::numeric_limits<TypeParam>::infinity();
  EXPECT_THAT(message(ErrorKind::input, search, 4), testing::HasSubstr("points row 70, coordinate 1 is inf"));
  points[3 * 17 + 2] = std::numeric_limits<TypeParam>::quiet_NaN();
  EXPECT_THAT(message(ErrorKind::input, search, 4), testing::HasSubstr("points row 17, coordinate 2 is nan"));
  points = clouds::uniform<TypeParam>(100, 3, 1);
  search.points = points.data();
  std::vector<TypeParam> queries = {0, 0, 0, 0, 0, -std::numeric_limits<TypeParam>::infinity()};
  search.queries = queries.data();
  search.num_queries = 2;
  EXPECT_THAT(message(ErrorKind::input, search, 4), testing::HasSubstr("queries row 1, coordinate 2 is -inf"));
}

TEST(NeighborsErrors, NameTheSizesAndTheRule) {
  const std::vector<float> points = clouds::uniform<float>(10, 2, 1);
  NeighborSearch<float> right;
  right.points = points.data();
  right.num_points = 10;
  right.dimensions = 2;
  EXPECT_EQ(message(ErrorKind::usage, right, 3), "no error");
  EXPECT_THAT(message(ErrorKind::usage, right, -1), testing::HasSubstr("k is -1"));

  NeighborSearch<float> search = right;
  for (const int dimensions : {0, 1025}) {
    search.dimensions = dimensions;
    EXPECT_THAT(message(ErrorKind::usage, search, 3),
                testing::HasSubstr("dimensions is " + std::to_string(dimensions) + ": expected 1 to 1024"));
  }
  search = right;
  search.num_points = -1;
  EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr("num_points is -1"));
  search = right;
  search.points = nullptr;
  EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr("points is null"));
  search = right;
  search.max_radius = -1;
  EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr("max_radius"));
  search.max_radius = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr("max_radius"));
  search = right;
  search.num_events = 2;
  EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr("without row_splits"));
  for (const auto& [splits, text] : std::vector<std::pair<std::vector<std::int32_t>, std::string>>{
           {{1, 5, 10}, "row_splits[0] is 1: expected 0"},
           {{0, 5, 9}, "row_splits[2] is 9: expected the number of rows, 10"},
           {{0, 11, 10}, "row_splits[2] is 10, less than the entry before, 11"}}) {
    search.row_splits = splits.data();
    EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr(text));
  }
  search = right;
  std::vector<Direction> direction(10, Direction::both);
  direction[6] = static_cast<Direction>(4);
  search.direction = direction.data();
  EXPECT_THAT(message(ErrorKind::input, search, 3), testing::HasSubstr("direction row 6 is 4"));
  search.queries = points.data();
  search.num_queries = 10;
  EXPECT_THAT(message(ErrorKind::usage, search, 3), testing::HasSubstr("direction"));

  std::vector<std::int32_t> index(30);
  std::vector<float> distance2(30);
  std::vector<std::byte> workspace(knn_workspace_bytes(right, 3) - 1);
  EXPECT_THROW(knn(right, 3, index.data(), distance2.data(), std::span(workspace)), Error);
}

// d² of the outer points is +infinity in T. A finite radius does not reach it, though its square overflows too.
TYPED_TEST(Neighbors, OnlyAnInfiniteRadiusReachesADistanceThatOverflows) {
  using T = TypeParam;
  const T far = std::numeric_limits<T>::max() / 2;
  const std::vector<T> points = {0, 1, far};
  NeighborSearch<T> search;
  search.points = points.data();
  search.num_points = 3;
  search.dimensions = 1;
  for (const double radius : {double{std::numeric_limits<T>::max()}, double{std::numeric_limits<T>::max()} / 4}) {
    search.max_radius = radius;
    EXPECT_EQ(run_radius(search, 3).found, (std::vector<std::int32_t>{2, 2, 1})) << radius;
    EXPECT_EQ(run_knn(search, 3).index, (std::vector<std::int32_t>{0, 1, -1, 1, 0, -1, 2, -1, -1})) << radius;
  }
  search.max_radius = std::numeric_limits<double>::infinity();
  EXPECT_EQ(run_radius(search, 3).found, (std::vector<std::int32_t>{3, 3, 3}));
  EXPECT_EQ(run_knn(search, 3).index, (std::vector<std::int32_t>{0, 1, 2, 1, 0, 2, 2, 0, 1}));
}

TEST(NeighborsErrors, RadiusFillChecksTheRowSplits) {
  const std::vector<float> points = clouds::uniform<float>(3, 2, 1);
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = 3;
  search.dimensions = 2;
  search.max_radius = 1;
  std::vector<std::byte> workspace(radius_workspace_bytes(search));
  std::vector<std::int32_t> index(9);
  std::vector<float> distance2(9);
  for (const std::vector<std::int64_t>& splits :
       std::vector<std::vector<std::int64_t>>{{1, 2, 3, 4}, {0, 2, 1, 3}, {0, 4, 5, 6}}) {
    EXPECT_THROW(radius_fill(search, splits.data(), index.data(), distance2.data(), std::span(workspace)), Error);
  }
}

TEST(NeighborsErrors, RadiusFillNeedsTheWorkspaceThatRadiusCountLeft) {
  const std::vector<float> points = clouds::uniform<float>(40, 2, 1);
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = 40;
  search.dimensions = 2;
  search.max_radius = 1;
  std::vector<std::byte> workspace(radius_workspace_bytes(search));
  std::vector<std::int32_t> count(40), index(1600);
  std::vector<float> distance2(1600);
  const std::vector<std::int64_t> splits(41, 0);
  const auto fill = [&](const NeighborSearch<float>& of) {
    radius_fill(of, splits.data(), index.data(), distance2.data(), std::span(workspace));
  };
  EXPECT_THAT([&] { fill(search); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("the workspace holds no tree of this search")));
  radius_count<float>(search, 40, count.data(), nullptr, std::span(workspace));
  EXPECT_NO_THROW(fill(search));
  NeighborSearch<float> other = search;
  other.num_points = 39;
  EXPECT_THROW(fill(other), Error);
}

TEST(NeighborsErrors, NameTheArrayThatIsNull) {
  const std::vector<float> points = clouds::uniform<float>(10, 2, 1);
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = 10;
  search.dimensions = 2;
  search.max_radius = 1;
  std::vector<std::byte> bytes(radius_workspace_bytes(search));
  const std::span<std::byte> workspace(bytes);
  std::vector<std::int32_t> index(10);
  const std::vector<std::int64_t> splits = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const auto null = [](const char* name) { return testing::ThrowsMessage<Error>(testing::HasSubstr(name)); };
  EXPECT_THAT([&] { knn<float>(search, 1, nullptr, nullptr, workspace); }, null("knn: index is null"));
  EXPECT_THAT([&] { knn<float>(search, 1, index.data(), nullptr, workspace); }, null("knn: distance2 is null"));
  EXPECT_NO_THROW(knn<float>(search, 0, nullptr, nullptr, workspace));
  EXPECT_THAT([&] { radius_count<float>(search, 1, nullptr, nullptr, workspace); }, null("count is null"));
  radius_count<float>(search, 1, index.data(), nullptr, workspace);
  EXPECT_THAT([&] { radius_fill<float>(search, nullptr, nullptr, nullptr, workspace); },
              null("neighbor_row_splits is null"));
  EXPECT_THAT([&] { radius_fill<float>(search, splits.data(), nullptr, nullptr, workspace); }, null("index is null"));
  EXPECT_THAT([&] { radius_fill<float>(search, splits.data(), index.data(), nullptr, workspace); },
              null("distance2 is null"));
  NeighborLists<float> lists;
  lists.points = points.data();
  lists.num_points = 10;
  lists.dimensions = 2;
  lists.index = index.data();
  lists.k = 1;
  bytes.resize(distance_gradient_workspace_bytes(lists));
  EXPECT_THAT([&] { distance_gradient<float>(lists, nullptr, nullptr, nullptr, std::span(bytes)); },
              null("weight is null"));
  EXPECT_THAT([&] { distance_tangent<float>(lists, nullptr, nullptr, nullptr); }, null("out is null"));
}

TEST(NeighborsErrors, NameADeviceThatIsNotKnown) {
  const Execution execution{static_cast<Device>(7)};
  const auto refused = testing::ThrowsMessage<Error>(testing::HasSubstr("execution.device is 7: expected cpu or cuda"));
  const NeighborSearch<float> search;
  const NeighborLists<float> lists;
  EXPECT_THAT([&] { knn_workspace_bytes(search, 1, execution); }, refused);
  EXPECT_THAT([&] { knn<float>(search, 1, nullptr, nullptr, {}, execution); }, refused);
  EXPECT_THAT([&] { radius_workspace_bytes(search, execution); }, refused);
  EXPECT_THAT([&] { radius_count<float>(search, 1, nullptr, nullptr, {}, execution); }, refused);
  EXPECT_THAT([&] { radius_fill<float>(search, nullptr, nullptr, nullptr, {}, execution); }, refused);
  EXPECT_THAT([&] { distance_gradient_workspace_bytes(lists, execution); }, refused);
  EXPECT_THAT([&] { distance_gradient<float>(lists, nullptr, nullptr, nullptr, {}, execution); }, refused);
  EXPECT_THAT([&] { distance_tangent<float>(lists, nullptr, nullptr, nullptr, execution); }, refused);
}

TEST(NeighborsErrors, CheckRowSplitsNamesTheEntry) {
  const auto says = [](const char* text) { return testing::ThrowsMessage<Error>(testing::HasSubstr(text)); };
  const auto check = [](std::vector<std::int32_t> splits) { check_row_splits(splits, 10, "splits"); };
  EXPECT_NO_THROW(check({0, 4, 4, 10}));
  EXPECT_THAT([&] { check({}); }, says("splits is empty"));
  EXPECT_THAT([&] { check({1, 10}); }, says("splits[0] is 1: expected 0"));
  EXPECT_THAT([&] { check({0, 5, 4, 10}); }, says("splits[2] is 4, less than the entry before, 5"));
  EXPECT_THAT([&] { check({0, 11}); }, says("splits[1] is 11: expected the number of rows, 10"));
}

/// Queries of a large cloud, spread over it, against brute force.
void compare_some(const std::vector<float>& points, int dimensions, int k) {
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = static_cast<std::int32_t>(points.size()) / dimensions;
  search.dimensions = dimensions;
  const Rows<float> rows = run_knn(search, k);
  for (std::int32_t row = 0; row < search.num_points; row += search.num_points / 40) {
    const auto neighbors = neighbor_cases::all_neighbors(search, row);
    for (int i = 0; i < k; ++i) {
      const auto at = static_cast<std::size_t>(row) * static_cast<std::size_t>(k) + static_cast<std::size_t>(i);
      ASSERT_EQ(rows.index[at], neighbors[static_cast<std::size_t>(i)].second) << "row " << row << ", place " << i;
      ASSERT_EQ(rows.distance2[at], neighbors[static_cast<std::size_t>(i)].first) << "row " << row << ", place " << i;
    }
  }
}

TEST(NeighborsOfRealClouds, AreThoseOfBruteForce) {
  STARLING_NEEDS_DATA("knn_clouds");
  STARLING_NEEDS_DATA("hgcalml_feat");
  STARLING_NEEDS_DATA("trackml_ev1000_barrel");
  for (const RealCloud& cloud : real_clouds()) {
    SCOPED_TRACE(cloud.name);
    compare_some(cloud.points, cloud.dimensions, cloud.k);
  }
}

}  // namespace
