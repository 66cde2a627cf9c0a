#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <random>

#include "data.h"
#include "hit_graph_cases.h"
#include "on_device.h"
#include "same_bytes.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/track_finder.h"

namespace starling {
namespace {

using namespace hit_graph_cases;

constexpr std::size_t kGuard = 64;  ///< elements around each array that nothing may write

/// An array between two guards.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t size) : size_(size), memory_(size + 2 * kGuard), before_(memory_.get()) {}

  T* data() const { return memory_.data() + kGuard; }
  std::vector<T> get(std::size_t count) const {
    const std::vector<T> all = memory_.get();
    return {all.begin() + kGuard, all.begin() + static_cast<std::ptrdiff_t>(kGuard + count)};
  }
  void expect_guards(const char* name) const {
    const std::vector<T> all = memory_.get();
    for (const std::size_t begin : {std::size_t{0}, kGuard + size_}) {
      EXPECT_EQ(std::memcmp(all.data() + begin, before_.data() + begin, kGuard * sizeof(T)), 0) << name;
    }
  }

 private:
  std::size_t size_;
  OnDevice<T> memory_;
  std::vector<T> before_;
};

class DeviceHits {
 public:
  explicit DeviceHits(const HitsView& hits)
      : x_(hits.x.data(), hits.x.size()),
        y_(hits.y.data(), hits.x.size()),
        z_(hits.z.data(), hits.x.size()),
        volume_(hits.volume_id.data(), hits.x.size()),
        layer_(hits.layer_id.data(), hits.x.size()),
        module_(hits.module_id.data(), hits.x.size()) {}

  HitsView view() const { return {x_.span(), y_.span(), z_.span(), volume_.span(), layer_.span(), module_.span()}; }

 private:
  OnDevice<float> x_, y_, z_;
  OnDevice<std::int32_t> volume_, layer_, module_;
};

struct Memory {
  Guarded<std::int32_t> src, dst, layer, order, triplet_splits, triplets, edge_count;
  Guarded<float> node_features, edge_features;
  OnDevice<HitGraphCounts> counts{1};

  Memory(std::size_t hits, const HitGraphCapacity& capacity)
      : src(static_cast<std::size_t>(capacity.edges)),
        dst(static_cast<std::size_t>(capacity.edges)),
        layer(hits),
        order(hits),
        triplet_splits(static_cast<std::size_t>(capacity.edges) + 1),
        triplets(static_cast<std::size_t>(capacity.triplets)),
        edge_count(1),
        node_features(hits * kNodeFeatures),
        edge_features(static_cast<std::size_t>(capacity.edges) * kEdgeFeatures) {}

  HitGraphMemory view() const {
    return {src.data(),    dst.data(),       node_features.data(),  edge_features.data(),
            layer.data(),  order.data(),     triplet_splits.data(), triplets.data(),
            counts.data(), edge_count.data()};
  }
  void expect_guards() const {
    src.expect_guards("src");
    dst.expect_guards("dst");
    layer.expect_guards("layer");
    order.expect_guards("order");
    triplet_splits.expect_guards("triplet_splits");
    triplets.expect_guards("triplets");
    edge_count.expect_guards("edge_count");
    node_features.expect_guards("node_features");
    edge_features.expect_guards("edge_features");
  }
};

struct DeviceGraph {
  HitGraph graph;  ///< what the device has written, empty where it says so
  HitGraphCounts counts;
};

class OnePlan {
 public:
  explicit OnePlan(const Windows& windows, const FeatureScales& scales = {})
      : memory_(HitGraphCudaPlan::windows_bytes(windows)), plan_(windows, scales, memory_.span()) {}
  const HitGraphCudaPlan& operator*() const { return plan_; }

 private:
  OnDevice<std::byte> memory_;
  HitGraphCudaPlan plan_;
};

/// Captured in a CUDA graph and run twice, in memory that is full of other bytes at first.
DeviceGraph run_on_device(const HitGraphCudaPlan& plan, const HitsView& hits, const HitGraphCapacity& capacity) {
  const DeviceHits on_device(hits);
  const auto n = hits.x.size();
  const Memory memory(n, capacity);
  const Guarded<std::byte> workspace(plan.workspace_bytes(hits.size(), capacity));
  const Stream stream;
  HitGraphView view;
  replay_twice(stream, [&] {
    view = plan.run(on_device.view(), capacity, memory.view(),
                    {workspace.data(), plan.workspace_bytes(hits.size(), capacity)},
                    {.device = Device::cuda, .stream = stream});
  });
  memory.expect_guards();
  workspace.expect_guards("workspace");
  EXPECT_EQ(view.edges.num_nodes, hits.size());
  EXPECT_EQ(view.edges.size(), capacity.edges);
  EXPECT_EQ(view.edges.count, memory.edge_count.data());
  EXPECT_EQ(view.edge_features.size(), static_cast<std::size_t>(capacity.edges) * kEdgeFeatures);
  EXPECT_EQ(view.triplet_splits.size(), static_cast<std::size_t>(capacity.edges) + 1);

  DeviceGraph result;
  result.counts = memory.counts.get()[0];
  const auto edges = static_cast<std::size_t>(memory.edge_count.get(1)[0]);
  result.graph.edges = {hits.size(), memory.src.get(edges), memory.dst.get(edges)};
  result.graph.node_features = memory.node_features.get(n * kNodeFeatures);
  result.graph.edge_features = memory.edge_features.get(edges * kEdgeFeatures);
  result.graph.layer = memory.layer.get(n);
  result.graph.order = memory.order.get(n);
  result.graph.triplets.row_splits = memory.triplet_splits.get(edges + 1);
  result.graph.triplets.edges = memory.triplets.get(static_cast<std::size_t>(result.graph.triplets.row_splits.back()));
  result.graph.hits_outside = result.counts.hits_outside;
  return result;
}

void expect_same_bytes(const HitGraph& device, const HitGraph& host) {
  EXPECT_EQ(device.edges.size(), host.edges.size());
  EXPECT_TRUE(same_bytes(device.edges.src, host.edges.src));
  EXPECT_TRUE(same_bytes(device.edges.dst, host.edges.dst));
  EXPECT_TRUE(same_bytes(device.node_features, host.node_features));
  EXPECT_TRUE(same_bytes(device.edge_features, host.edge_features));
  EXPECT_TRUE(same_bytes(device.layer, host.layer));
  EXPECT_TRUE(same_bytes(device.order, host.order));
  EXPECT_TRUE(same_bytes(device.triplets.row_splits, host.triplets.row_splits));
  EXPECT_TRUE(same_bytes(device.triplets.edges, host.triplets.edges));
  EXPECT_EQ(device.hits_outside, host.hits_outside);
}

/// Room for all, found as a caller would: an empty graph says what it needs.
HitGraphCapacity capacity_for(const HitGraphCudaPlan& plan, const HitsView& hits) {
  HitGraphCapacity capacity;
  for (int trial = 0; trial < 3; ++trial) {
    const HitGraphCounts counts = run_on_device(plan, hits, capacity).counts;
    if (fits(counts, capacity, hits.size())) break;
    capacity.doublets = counts.doublets;
    capacity.edges = std::max(counts.edges, 0);
    capacity.triplets = std::max(counts.triplets, 0);
  }
  return capacity;
}

void expect_as_on_the_host(const Hits& hits, const Windows& windows, const FeatureScales& scales = {}) {
  const HitGraph host = build_hit_graph(hits, windows, scales);
  const OnePlan plan(windows, scales);
  const HitGraphCapacity least = capacity_for(*plan, hits);
  EXPECT_EQ(least.edges, host.edges.size());
  EXPECT_EQ(least.triplets, static_cast<std::int32_t>(host.triplets.edges.size()));
  for (const std::int32_t more : {0, 1000}) {
    const HitGraphCapacity capacity{least.doublets + more, least.edges + more, least.triplets + more};
    const auto [graph, counts] = run_on_device(*plan, hits, capacity);
    EXPECT_TRUE(fits(counts, capacity, hits.size()));
    EXPECT_EQ(counts.doublets, least.doublets);
    EXPECT_EQ(counts.edges, least.edges);
    EXPECT_EQ(counts.triplets, least.triplets);
    EXPECT_EQ(counts.bad_hit, -1);
    expect_same_bytes(graph, host);
  }
}

const TrackFinder& finder() {
  static const TrackFinder finder =
      TrackFinder::load(std::filesystem::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
  return finder;
}

class HitGraphCudaTest : public CudaTest {};

TEST_F(HitGraphCudaTest, HasTheBytesOfTheHostOnTheTable) {
  for (const Case& test : table()) {
    SCOPED_TRACE(test.name);
    expect_as_on_the_host(test.hits, test.windows);
  }
}

TEST_F(HitGraphCudaTest, HasTheBytesOfTheHostOnSimulatedEvents) {
  const Hits hits = simulated(5, 10000).hits;
  FeatureScales scales;
  scales.r = 3.f;
  scales.phi = 1.f;
  scales.z = 700.f;
  scales.eta = 1.5f;
  expect_as_on_the_host(hits, finder().windows, scales);
  std::vector<std::int32_t> order(hits.x.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  Hits shuffled;
  for (const std::int32_t i : order) {
    add_hit(shuffled, hits.x[i], hits.y[i], hits.z[i], hits.volume_id[i], hits.layer_id[i], hits.module_id[i]);
  }
  expect_as_on_the_host(shuffled, finder().windows);
}

TEST_F(HitGraphCudaTest, HasTheBytesOfTheHostOnARealEvent) {
  STARLING_NEEDS_DATA("trackml_full");
  const Hits hits = read_event(data_folder() / "trackml_full" / "event000001005", {.truth = false}).hits;
  const HitGraph host = build_hit_graph(hits, finder().windows, finder().scales);
  const OnePlan plan(finder().windows, finder().scales);
  const HitGraphCapacity capacity{1 << 20, 120'000, 150'000};
  const auto [graph, counts] = run_on_device(*plan, hits, capacity);
  EXPECT_TRUE(fits(counts, capacity, hits.size()));
  EXPECT_GT(counts.doublets, 100'000);
  expect_same_bytes(graph, host);
}

// Each capacity in turn is one too small: the graph is empty, and the counts are the true ones.
TEST_F(HitGraphCudaTest, IsEmptyWhereItDoesNotFit) {
  const Hits hits = simulated(2, 10000).hits;
  const HitGraph host = build_hit_graph(hits, finder().windows);
  const OnePlan plan(finder().windows);
  const HitGraphCapacity whole = capacity_for(*plan, hits);
  ASSERT_GT(whole.triplets, 10);
  for (const auto which : {&HitGraphCapacity::doublets, &HitGraphCapacity::edges, &HitGraphCapacity::triplets}) {
    for (const std::int32_t small : {whole.*which - 1, whole.*which / 2, 0}) {
      HitGraphCapacity capacity = whole;
      capacity.*which = small;
      const auto [graph, counts] = run_on_device(*plan, hits, capacity);
      EXPECT_FALSE(fits(counts, capacity, hits.size()));
      EXPECT_EQ(graph.edges.size(), 0);
      EXPECT_EQ(graph.triplets.row_splits, std::vector<std::int32_t>{0});
      EXPECT_EQ(counts.doublets, whole.doublets);
      const bool known = which != &HitGraphCapacity::doublets;
      EXPECT_EQ(counts.edges, known ? whole.edges : -1);
      EXPECT_EQ(counts.triplets, known ? whole.triplets : -1);
      EXPECT_TRUE(same_bytes(graph.layer, host.layer));
      EXPECT_TRUE(same_bytes(graph.order, host.order));
      EXPECT_TRUE(same_bytes(graph.node_features, host.node_features));
    }
  }
}

TEST_F(HitGraphCudaTest, NamesTheFirstBadHitAndIsEmpty) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const auto column : {&Hits::x, &Hits::y, &Hits::z}) {
      Hits hits = simulated(1, 10000).hits;
      const OnePlan plan(finder().windows);
      (hits.*column)[371] = (hits.*column)[400] = (hits.*column).back() = bad;
      const HitGraphCapacity capacity{100'000, 20'000, 20'000};
      const auto [graph, counts] = run_on_device(*plan, hits, capacity);
      EXPECT_EQ(counts.bad_hit, 371);
      EXPECT_EQ(graph.edges.size(), 0);
      try {
        fits(counts, capacity, hits.size());
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::input);
      }
    }
  }
}

// More than 2^28 pairs of doublets: no more of them are tested, and the graph is empty.
TEST_F(HitGraphCudaTest, RefusesMorePairsThanAnEventHas) {
  const Case test = crowded_case(650);
  const OnePlan plan(test.windows);
  const HitGraphCapacity capacity{1 << 20, 1 << 20, 0};
  const auto [graph, counts] = run_on_device(*plan, test.hits, capacity);
  EXPECT_EQ(graph.edges.size(), 0);
  EXPECT_GT(counts.pairs, std::int64_t{1} << 28);
  EXPECT_EQ(counts.edges, -1);
  EXPECT_THROW(fits(counts, capacity, test.hits.size()), Error);
}

// More than 2^25 doublets: no more hits are searched, and the graph is empty.
TEST_F(HitGraphCudaTest, RefusesMoreDoubletsThanAnEventHas) {
  const Case test = crowded_case(4300);
  const OnePlan plan(test.windows);
  const HitGraphCapacity capacity{1000, 100, 100};
  const auto [graph, counts] = run_on_device(*plan, test.hits, capacity);
  EXPECT_EQ(graph.edges.size(), 0);
  EXPECT_GT(counts.doublets, 1 << 25);
  EXPECT_EQ(counts.edges, -1);
  EXPECT_THROW(fits(counts, capacity, test.hits.size()), Error);
}

TEST_F(HitGraphCudaTest, RefusesArgumentsThatDoNotFit) {
  const Hits hits = simulated(0, 10000).hits;
  const DeviceHits on_device(hits);
  const OnePlan plan(finder().windows);
  const HitGraphCapacity capacity{1000, 100, 50};
  const Memory memory(hits.x.size(), capacity);
  const std::size_t bytes = (*plan).workspace_bytes(hits.size(), capacity);
  const OnDevice<std::byte> workspace(bytes);
  const Execution execution{.device = Device::cuda};
  const auto run = [&](const HitsView& view, const HitGraphCapacity& room, const HitGraphMemory& out, std::size_t size,
                       const Execution& where) { (*plan).run(view, room, out, workspace.span().first(size), where); };
  expect_usage([&] { run(on_device.view(), capacity, memory.view(), bytes - 1, execution); },
               "HitGraphCudaPlan::run: workspace of");
  expect_usage([&] { run(on_device.view(), capacity, memory.view(), bytes, {}); }, "on a CUDA device");
  expect_usage(
      [&] {
        run(on_device.view(), {-1, 100, 50}, memory.view(), bytes, execution);
      },
      "capacity.doublets is -1");
  expect_usage(
      [&] {
        run(on_device.view(), {1000, (1 << 25) + 1, 50}, memory.view(), bytes, execution);
      },
      "capacity.edges is 33554433");
  HitsView uneven = on_device.view();
  uneven.module_id = uneven.module_id.first(3);
  expect_usage([&] { run(uneven, capacity, memory.view(), bytes, execution); }, "column module_id has 3 entries");
  HitGraphMemory out = memory.view();
  out.triplets = nullptr;
  expect_usage([&] { run(on_device.view(), capacity, out, bytes, execution); }, "memory.triplets is null");
  out = memory.view();
  ++out.node_features;
  expect_usage([&] { run(on_device.view(), capacity, out, bytes, execution); },
               "memory.node_features is not aligned to 16 bytes");
  const OnDevice<std::byte> small(HitGraphCudaPlan::windows_bytes(finder().windows) - 1);
  expect_usage([&] { HitGraphCudaPlan(finder().windows, {}, small.span()); }, "HitGraphCudaPlan: workspace of");
  FeatureScales scales;
  scales.z = 0.f;
  const OnDevice<std::byte> enough(HitGraphCudaPlan::windows_bytes(finder().windows));
  expect_usage([&] { HitGraphCudaPlan(finder().windows, scales, enough.span()); }, "scales.z = 0");
}

}  // namespace
}  // namespace starling
