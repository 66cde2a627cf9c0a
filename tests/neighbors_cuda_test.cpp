#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "neighbors_cases.h"
#include "on_device.h"
#include "real_clouds.h"
#include "starling/error.h"

// The table of neighbors_cases.h on the device, and larger clouds beside knn() on the host.
namespace {

using namespace starling;
using neighbor_cases::Case;
using neighbor_cases::Rows;

/// A search in host memory, copied to the device.
template <typename T>
class DeviceSearch {
 public:
  explicit DeviceSearch(const NeighborSearch<T>& host)
      : points_(host.points, static_cast<std::size_t>(host.num_points) * host.dimensions),
        queries_(host.queries,
                 host.queries == nullptr ? 0 : static_cast<std::size_t>(host.num_queries) * host.dimensions),
        row_splits_(host.row_splits, host.row_splits == nullptr ? 0 : host.num_events + 1),
        query_row_splits_(host.query_row_splits, host.query_row_splits == nullptr ? 0 : host.num_events + 1),
        direction_(host.direction, host.direction == nullptr ? 0 : host.num_points),
        search_(host) {
    search_.points = points_.data();
    if (host.queries != nullptr) search_.queries = queries_.data();
    if (host.row_splits != nullptr) search_.row_splits = row_splits_.data();
    if (host.query_row_splits != nullptr) search_.query_row_splits = query_row_splits_.data();
    if (host.direction != nullptr) search_.direction = direction_.data();
  }
  const NeighborSearch<T>& operator*() const { return search_; }
  std::size_t rows() const {
    return static_cast<std::size_t>(search_.queries != nullptr ? search_.num_queries : search_.num_points);
  }

 private:
  OnDevice<T> points_, queries_;
  OnDevice<std::int32_t> row_splits_, query_row_splits_;
  OnDevice<Direction> direction_;
  NeighborSearch<T> search_;
};

template <typename T>
struct Answer {
  Rows<T> rows;
  std::int32_t bad_row = 0;
};

/// `captured`: runs it as a CUDA graph, twice, which a hidden synchronisation or allocation would refuse.
template <typename T>
Answer<T> run_knn(const NeighborSearch<T>& host, int k, bool captured = false) {
  const DeviceSearch<T> search(host);
  const std::size_t entries = search.rows() * static_cast<std::size_t>(k);
  const OnDevice<std::int32_t> index(entries), bad_row(1);
  const OnDevice<T> distance2(entries);
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  const OnDevice<std::byte> workspace(knn_workspace_bytes(*search, k, execution));
  const auto run = [&] { knn(*search, k, index.data(), distance2.data(), workspace.span(), execution); };
  if (captured)
    replay_twice(stream, run);
  else
    run();
  expect_ok(cudaStreamSynchronize(stream));
  return {{index.get(), distance2.get()}, bad_row.get()[0]};
}

/// The first entry that differs, for a message.
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

/// Bytes of the device beside those of the host.
template <typename T>
void expect_host_bytes(const Case<T>& test) {
  const NeighborSearch<T> search = test.search();
  const std::size_t entries = static_cast<std::size_t>(test.num_queries()) * static_cast<std::size_t>(test.k);
  Rows<T> expected{std::vector<std::int32_t>(entries), std::vector<T>(entries)};
  std::vector<std::byte> workspace(knn_workspace_bytes(search, test.k));
  knn(search, test.k, expected.index.data(), expected.distance2.data(), std::span(workspace));
  EXPECT_EQ(difference(expected, run_knn(search, test.k).rows, test.k), "");
  EXPECT_EQ(difference(expected, run_knn(search, test.k, true).rows, test.k), "") << "as a graph";
}

template <typename T>
class NeighborsCuda : public CudaTest {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NeighborsCuda, Scalars);

TYPED_TEST(NeighborsCuda, AreThoseOfBruteForce) {
  for (const Case<TypeParam>& test : neighbor_cases::table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Answer<TypeParam> answer = run_knn(test.search(), test.k);
    EXPECT_EQ(difference(brute_force(test), answer.rows, test.k), "");
    EXPECT_EQ(answer.bad_row, -1);
  }
}

// Every kernel once, on few points: what a race detector, which slows a kernel a thousandfold, can watch.
TYPED_TEST(NeighborsCuda, OfSmallCloudsAreThoseOfTheHost) {
  struct Size {
    int n, dimensions, k;
  };
  for (const auto& [n, dimensions, k] :
       {Size{1100, 2, 8}, Size{1100, 4, 64}, Size{1100, 8, 200}, Size{1100, 3, 100}, Size{1100, 4, 40},
        Size{700, 2, 600}, Size{1100, 16, 64}, Size{300, 64, 40}, Size{300, 130, 100}}) {
    SCOPED_TRACE(std::to_string(dimensions) + " dimensions, k " + std::to_string(k));
    expect_host_bytes<TypeParam>(
        {.name = "", .dimensions = dimensions, .k = k, .points = clouds::cluster<TypeParam>(n, dimensions, 1)});
  }
}

TYPED_TEST(NeighborsCuda, OfLargeCloudsAreThoseOfTheHost) {
  std::vector<std::int32_t> sizes(900, 40);
  sizes[5] = 20000;
  sizes[6] = 1500;
  sizes[700] = 5000;
  const auto splits = neighbor_cases::splits_of(sizes);
  std::vector<TypeParam> outlier = clouds::uniform<TypeParam>(30000, 4, 3);
  outlier[7] = TypeParam(1e9);
  std::vector<Case<TypeParam>> cases;
  const auto add = [&](const char* name, int dimensions, int k, const std::vector<TypeParam>& points) {
    cases.push_back({.name = name, .dimensions = dimensions, .k = k, .points = points});
  };
  add("uniform", 4, 64, clouds::uniform<TypeParam>(70000, 4, 1));
  add("cluster", 3, 40, clouds::cluster<TypeParam>(70000, 3, 1));
  add("tight", 4, 10, clouds::tight<TypeParam>(50000, 4, 1));
  add("wide", 8, 128, clouds::cluster<TypeParam>(20000, 8, 1));
  add("wider", 13, 300, clouds::cluster<TypeParam>(6000, 13, 1));
  add("many k", 3, 600, clouds::uniform<TypeParam>(5000, 3, 1));
  add("lattice", 3, 64, clouds::lattice<TypeParam>(40000, 3, 20, 1));
  add("all equal", 3, 64, std::vector<TypeParam>(3 * 20000, TypeParam(0.1)));
  add("one far outlier", 4, 64, outlier);
  add("more than 32 regions", 2, 4, clouds::uniform<TypeParam>(1'100'000, 2, 1));
  add("other queries", 4, 64, clouds::cluster<TypeParam>(40000, 4, 1));
  cases.back().separate_queries = true;
  cases.back().queries = clouds::uniform<TypeParam>(5000, 4, 2);
  add("without themselves", 4, 64, clouds::cluster<TypeParam>(20000, 4, 1));
  cases.back().loop = false;
  add("huge and small events", 4, 32, clouds::cluster<TypeParam>(splits.back(), 4, 2));
  cases.back().row_splits = splits;
  add("all equal, more than a region", 3, 64, std::vector<TypeParam>(3 * 150'000, TypeParam(0.1)));
  add("all equal, directions", 3, 64, std::vector<TypeParam>(3 * 40'000, TypeParam(0.1)));
  cases.back().direction = neighbor_cases::random_directions(40'000, 1);
  add("12 dimensions", 12, 64, clouds::cluster<TypeParam>(70'000, 12, 1));
  add("13 dimensions", 13, 64, clouds::cluster<TypeParam>(70'000, 13, 1));
  add("features", 64, 40, clouds::features<TypeParam>(70'000, 64, 1));
  add("64 dimensions in events", 64, 40, clouds::cluster<TypeParam>(splits.back() + 40'000, 64, 1));
  cases.back().row_splits = splits;
  cases.back().row_splits.push_back(splits.back() + 40'000);
  add("200 dimensions", 200, 20, clouds::cluster<TypeParam>(5'000, 200, 1));
  for (const Case<TypeParam>& test : cases) {
    SCOPED_TRACE(test.name);
    expect_host_bytes(test);
  }
}

// So many queries that each warp has several: other kernels than of few.
TYPED_TEST(NeighborsCuda, OfManyQueriesInManyDimensionsAreThoseOfTheHost) {
  for (const int dimensions : {13, 24, 64, 100, 130}) {
    SCOPED_TRACE(dimensions);
    Case<TypeParam> test{.name = "queries",
                         .dimensions = dimensions,
                         .k = dimensions == 24 ? 100 : 20,
                         .points = clouds::lattice<TypeParam>(400, dimensions, 3, 1),
                         .separate_queries = true,
                         .queries = clouds::lattice<TypeParam>(66'000, dimensions, 3, 2)};
    expect_host_bytes(test);
    test.row_splits = {0, 150, 400};
    test.query_row_splits = {0, 30'000, 66'000};
    test.max_radius = std::sqrt(dimensions);
    expect_host_bytes(test);
  }
}

/// Counts the neighbours of points that are all within the radius, and lists 32. Returns the milliseconds of counting.
template <typename T>
float time_count(const std::vector<T>& points) {
  const auto n = static_cast<std::int32_t>(points.size() / 3), most = 32;
  NeighborSearch<T> host;
  host.points = points.data();
  host.num_points = n;
  host.dimensions = 3;
  host.max_radius = 0.01;
  const DeviceSearch<T> search(host);
  const OnDevice<std::int32_t> count(n), found(n), bad_row(1);
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  const OnDevice<std::byte> workspace(radius_workspace_bytes(*search, execution));
  cudaEvent_t start = nullptr, stop = nullptr;
  expect_ok(cudaEventCreate(&start));
  expect_ok(cudaEventCreate(&stop));
  expect_ok(cudaEventRecord(start, stream));
  radius_count(*search, most, count.data(), found.data(), workspace.span(), execution);
  expect_ok(cudaEventRecord(stop, stream));
  expect_ok(cudaStreamSynchronize(stream));
  EXPECT_THAT(found.get(), testing::Each(n));
  EXPECT_THAT(count.get(), testing::Each(most));
  float ms = 0;
  expect_ok(cudaEventElapsedTime(&ms, start, stop));
  expect_ok(cudaEventDestroy(start));
  expect_ok(cudaEventDestroy(stop));
  return ms;
}

// Counting may not visit all that lies within the radius: eight times the points would take 64 times as long.
TYPED_TEST(NeighborsCuda, OfDenseCloudsAreCountedInProportion) {
  const auto coincident = [](std::size_t n) { return std::vector<TypeParam>(3 * n, TypeParam(0.25)); };
  const auto dense = [](std::int64_t n) {
    return neighbor_cases::scaled(clouds::uniform<TypeParam>(n, 3, 1), TypeParam(1e-3), TypeParam(0));
  };
  time_count(coincident(50'000));  // kernels are loaded at their first start
  const float few_coincident = time_count(coincident(100'000)), few_dense = time_count(dense(100'000));
  EXPECT_LT(time_count(coincident(800'000)), 24 * few_coincident);
  EXPECT_LT(time_count(dense(800'000)), 24 * few_dense);
}

TYPED_TEST(NeighborsCuda, OfRealCloudsAreThoseOfTheHost) {
  STARLING_NEEDS_DATA("knn_clouds");
  STARLING_NEEDS_DATA("hgcalml_feat");
  STARLING_NEEDS_DATA("trackml_ev1000_barrel");
  for (const RealCloud& cloud : real_clouds()) {
    SCOPED_TRACE(cloud.name);
    expect_host_bytes<TypeParam>({.name = cloud.name,
                                  .dimensions = cloud.dimensions,
                                  .k = cloud.k,
                                  .points = {cloud.points.begin(), cloud.points.end()}});
  }
}

TYPED_TEST(NeighborsCuda, WithinARadiusAreThoseOfBruteForce) {
  for (Case<TypeParam> test : neighbor_cases::table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    if (!std::isfinite(test.max_radius) && test.num_points() > 300) test.max_radius = 0.15;
    const NeighborSearch<TypeParam> host = test.search();
    const std::int32_t most = test.k % 2 == 0 ? test.k : std::numeric_limits<std::int32_t>::max();
    std::vector<std::int32_t> count, found;
    Rows<TypeParam> expected;
    for (std::int32_t row = 0; row < test.num_queries(); ++row) {
      const auto neighbors = neighbor_cases::all_neighbors(host, row);
      found.push_back(static_cast<std::int32_t>(neighbors.size()));
      count.push_back(std::min(found.back(), most));
      for (std::int32_t i = 0; i < count.back(); ++i) {
        expected.distance2.push_back(neighbors[static_cast<std::size_t>(i)].first);
        expected.index.push_back(neighbors[static_cast<std::size_t>(i)].second);
      }
    }

    const DeviceSearch<TypeParam> search(host);
    const OnDevice<std::int32_t> device_count(search.rows()), device_found(search.rows()), bad_row(1);
    const Stream stream;
    const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
    const OnDevice<std::byte> workspace(radius_workspace_bytes(*search, execution));
    radius_count(*search, most, device_count.data(), device_found.data(), workspace.span(), execution);
    expect_ok(cudaStreamSynchronize(stream));
    EXPECT_EQ(device_count.get(), count);
    EXPECT_EQ(device_found.get(), found);
    EXPECT_EQ(bad_row.get()[0], -1);
    std::vector<std::int64_t> splits(search.rows() + 1, 0);
    std::partial_sum(count.begin(), count.end(), splits.begin() + 1, std::plus<std::int64_t>());
    const OnDevice<std::int64_t> device_splits(splits);
    const OnDevice<std::int32_t> index(expected.index.size());
    const OnDevice<TypeParam> distance2(expected.index.size());
    radius_fill(*search, device_splits.data(), index.data(), distance2.data(), workspace.span(), execution);
    expect_ok(cudaStreamSynchronize(stream));
    EXPECT_EQ(index.get(), expected.index);
    EXPECT_EQ(distance2.get(), expected.distance2);
  }
}

TYPED_TEST(NeighborsCuda, ExactlyAtTheRadiusAreWithin) {
  for (const Case<TypeParam>& test : neighbor_cases::pairs_at_the_radius<TypeParam>()) {
    SCOPED_TRACE(test.name);
    EXPECT_EQ(run_knn(test.search(), test.k).rows.index, (std::vector<std::int32_t>{1, -1, 0, -1}));
  }
}

TYPED_TEST(NeighborsCuda, TheFirstRowThatIsNotFiniteIsTold) {
  const auto in_range = testing::Each(testing::AllOf(testing::Ge(-1), testing::Lt(5000)));
  std::vector<TypeParam> points = clouds::uniform<TypeParam>(5000, 4, 1);
  const std::vector<TypeParam> good = points;
  points[4 * 4321] = std::numeric_limits<TypeParam>::quiet_NaN();
  points[4 * 1234 + 3] = std::numeric_limits<TypeParam>::infinity();
  NeighborSearch<TypeParam> search;
  search.points = points.data();
  search.num_points = 5000;
  search.dimensions = 4;
  const Answer<TypeParam> answer = run_knn(search, 8);
  EXPECT_EQ(answer.bad_row, 1234);
  EXPECT_THAT(answer.rows.index, in_range);
  search.queries = points.data();
  search.num_queries = 5000;
  search.points = good.data();
  EXPECT_EQ(run_knn(search, 8).bad_row, 5000 + 1234);
}

TYPED_TEST(NeighborsCuda, WorkspaceIsBounded) {
  for (const int d : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 64, 65, 128, 129, 1024}) {
    NeighborSearch<TypeParam> search;
    const TypeParam point = 0;
    search.points = &point;
    search.num_points = 1'000'000;
    search.dimensions = d;
    const std::size_t bytes = knn_workspace_bytes(search, 64, {.device = Device::cuda});
    const std::size_t rounded = d <= 64 ? 64 : (static_cast<std::size_t>(d) + 127) / 128 * 128;
    if (d <= 12)
      EXPECT_LE(bytes, 72u * 1'000'000 + 65536) << "D " << d;
    else
      EXPECT_LE(bytes, (112 + 2 * rounded) * 1'000'000 + 608 * static_cast<std::size_t>(d) + 8192) << "D " << d;
  }
}

TYPED_TEST(NeighborsCuda, WrongArgumentsAreUsageErrors) {
  const std::vector<TypeParam> points(20, TypeParam(1));
  NeighborSearch<TypeParam> search;
  search.points = points.data();
  search.num_points = 10;
  search.dimensions = 2;
  const Execution execution{.device = Device::cuda};
  expect_usage([&] { knn_workspace_bytes(search, -1, execution); }, "k is -1");
  expect_usage([&] { knn<TypeParam>(search, 1, nullptr, nullptr, {}, execution); }, "workspace of 0 bytes");
  search.max_radius = -1;
  expect_usage([&] { radius_workspace_bytes(search, execution); }, "max_radius is -1");
  search.max_radius = 1;
  std::vector<std::byte> workspace(knn_workspace_bytes(search, 1, execution));
  expect_usage([&] { knn<TypeParam>(search, 1, nullptr, nullptr, std::span(workspace), execution); },
               "execution.bad_row is null");
  search.num_points = (1 << 30) + 1;
  expect_usage([&] { knn_workspace_bytes(search, 1, execution); }, "expected at most 1073741824 on a CUDA device");
  search.dimensions = 1025;
  expect_usage([&] { knn_workspace_bytes(search, 1, execution); }, "dimensions is 1025: expected 1 to 1024");
}

}  // namespace
