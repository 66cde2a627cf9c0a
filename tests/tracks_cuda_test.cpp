#include <gtest/gtest.h>

#include <filesystem>

#include "data.h"
#include "on_device.h"
#include "starling/detector.h"
#include "starling/event.h"
#include "starling/interaction_network.h"
#include "starling/simulate.h"
#include "starling/track_finder.h"
#include "tracks_cases.h"

namespace starling {
namespace {

using namespace tracks_cases;

constexpr std::size_t kGuard = 64;

struct Found {
  std::vector<std::int32_t> row_splits, hits;
  std::int32_t count, bad_row;
};

/// Lent memory with guard entries behind it.
std::vector<std::int32_t> with_guard(std::size_t size) { return std::vector<std::int32_t>(size + kGuard, -77); }

/// The result as arrays of `size` entries and a guard: those behind the result are as they were.
void expect_untouched(const std::vector<std::int32_t>& values, std::size_t used) {
  EXPECT_TRUE(std::all_of(values.begin() + static_cast<std::ptrdiff_t>(used), values.end(),
                          [](std::int32_t value) { return value == -77; }));
}

/// Builds the tracks on the device, in a graph that is launched twice. The arrays of edges are `spare` longer than the
/// graph, and hold there what would be refused; `count` says so.
Found run_on_device(const Case& test, std::int32_t spare = 0) {
  const HitGraph& graph = test.graph;
  const auto nodes = static_cast<std::size_t>(graph.edges.num_nodes);
  const auto longer = [&](auto values) {
    values.resize(values.size() + static_cast<std::size_t>(spare), 1 << 30);
    return values;
  };
  const OnDevice<std::int32_t> src(longer(graph.edges.src)), dst(longer(graph.edges.dst));
  std::vector<float> all_scores = test.scores;
  all_scores.resize(all_scores.size() + static_cast<std::size_t>(spare), 1.F);
  const OnDevice<float> scores(all_scores), node_features(graph.node_features),
      edge_features(src.span().size() * kEdgeFeatures);
  const OnDevice<std::int32_t> count(std::vector<std::int32_t>{static_cast<std::int32_t>(test.scores.size())});
  const OnDevice<std::int32_t> layer(graph.layer), order(graph.order),
      triplet_splits(longer(graph.triplets.row_splits)), triplets(graph.triplets.edges);
  const EdgeListView edges{graph.edges.num_nodes, src.span(), dst.span(), spare > 0 ? count.data() : nullptr};
  const OnDevice<std::int32_t> row_splits(with_guard(nodes + 1)), hits(with_guard(nodes)), number(1), bad_row(1);
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  const TracksMemory tracks{row_splits.data(), hits.data(), number.data()};
  const std::size_t bytes = build_tracks_bytes(graph.edges.num_nodes, edges.size(), test.cuts, execution);
  const OnDevice<std::byte> workspace(bytes + kGuard);
  replay_twice(stream, [&] {
    if (test.layered) {
      const HitGraphView view{edges,        node_features.span(),  edge_features.span(), layer.span(),
                              order.span(), triplet_splits.span(), triplets.span()};
      build_tracks(view, scores.data(), test.cuts, tracks, workspace.span().first(bytes), execution);
    } else {
      build_tracks(edges, scores.data(), test.cuts, tracks, workspace.span().first(bytes), execution);
    }
  });
  const std::vector<std::byte> after = workspace.get();
  EXPECT_TRUE(std::all_of(after.begin() + static_cast<std::ptrdiff_t>(bytes), after.end(),
                          [](std::byte value) { return value == std::byte{0xCD}; }));
  Found found{row_splits.get(), hits.get(), number.get()[0], bad_row.get()[0]};
  if (found.count < 0 || found.count > graph.edges.num_nodes) {
    ADD_FAILURE() << "count " << found.count;
    return {{0}, {}, 0, -1};
  }
  const auto used_splits = static_cast<std::size_t>(found.count) + 1;
  const auto used_hits = static_cast<std::size_t>(found.row_splits[used_splits - 1]);
  if (used_hits > nodes) {
    ADD_FAILURE() << used_hits << " hits";
    return {{0}, {}, 0, -1};
  }
  expect_untouched(found.row_splits, used_splits);
  expect_untouched(found.hits, used_hits);
  found.row_splits.resize(used_splits);
  found.hits.resize(used_hits);
  return found;
}

void expect_as_on_the_host(const Case& test, std::int32_t spare = 0) {
  SCOPED_TRACE(test.name + ", " + to_string(test.cuts.builder) + (test.layered ? ", layered" : ""));
  const Tracks host = build(test);
  const Found device = run_on_device(test, spare);
  EXPECT_EQ(device.bad_row, -1);
  EXPECT_TRUE(device.row_splits == host.row_splits);
  EXPECT_TRUE(device.hits == host.hits);
}

class TracksCudaTest : public CudaTest {};

TEST_F(TracksCudaTest, FindsTheTracksOfTheTable) {
  for (const Case& test : table()) {
    SCOPED_TRACE(test.name + ", " + to_string(test.cuts.builder));
    const Found found = run_on_device(test);
    EXPECT_EQ(lists_of({found.row_splits, found.hits}), test.expected);
    EXPECT_EQ(found.bad_row, -1);
    expect_as_on_the_host(test, 3);
  }
}

TEST_F(TracksCudaTest, RandomGraphsAreAsOnTheHost) {
  for (std::uint32_t seed = 0; seed < 240; ++seed) {
    const auto nodes = static_cast<std::int32_t>(2 + seed % 90);
    const auto edges = static_cast<std::int32_t>(seed * 7 % (2 * static_cast<std::uint32_t>(nodes)));
    expect_as_on_the_host(random_case({nodes, edges, 5, seed % 4 == 0 ? 0 : 9}, seed),
                          static_cast<std::int32_t>(seed % 3));
  }
}

// Components of a warp, of a block and of one thread, without cycles and with them.
TEST_F(TracksCudaTest, ComponentsOfAnySizeAreAsOnTheHost) {
  struct Size {
    std::int32_t nodes, edges;
  };
  for (const Size size :
       {Size{32, 60}, {33, 60}, {30, 100}, {200, 300}, {400, 900}, {512, 1000}, {513, 1000}, {1500, 2600}}) {
    for (std::uint32_t seed = 0; seed < 6; ++seed) {
      for (const double faults : {0., 0.02}) {
        Case test = random_case({size.nodes, size.edges, 4, 0, faults}, seed);
        test.name += ", " + std::to_string(size.nodes) + " nodes";
        // Scores above the cuts, so that all hangs together.
        for (float& score : test.scores) score = 0.5F + score / 2;
        expect_as_on_the_host(test);
      }
    }
  }
}

// A CUDA graph that is launched again reads the number of edges and the scores of then, and nothing that was left
// behind.
TEST_F(TracksCudaTest, ALaunchReadsWhatIsThereThen) {
  Case test = random_case({120, 220, 5, 0}, 4);
  test.cuts.chain_layers = 5;
  test.cuts.builder = TrackBuilder::walkthrough;
  const HitGraph& graph = test.graph;
  const OnDevice<std::int32_t> src(graph.edges.src), dst(graph.edges.dst), layer(graph.layer), order(graph.order),
      triplet_splits(graph.triplets.row_splits), triplets(graph.triplets.edges), count(1), row_splits(121), hits(120),
      number(1);
  const OnDevice<float> scores(test.scores), node_features(graph.node_features), edge_features(graph.edge_features);
  const HitGraphView view{{120, src.span(), dst.span(), count.data()},
                          node_features.span(),
                          edge_features.span(),
                          layer.span(),
                          order.span(),
                          triplet_splits.span(),
                          triplets.span()};
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const OnDevice<std::byte> workspace(build_tracks_bytes(120, 220, test.cuts, execution));
  cudaGraph_t captured = nullptr;
  cudaGraphExec_t executable = nullptr;
  expect_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  build_tracks(view, scores.data(), test.cuts, {row_splits.data(), hits.data(), number.data()}, workspace.span(),
               execution);
  expect_ok(cudaStreamEndCapture(stream, &captured));
  expect_ok(cudaGraphInstantiate(&executable, captured, 0));
  for (const std::int32_t edges : {220, 0, 130, 1, 220}) {
    SCOPED_TRACE(edges);
    for (float& score : test.scores) score = 1 - score / 2;
    Case part = test;  // the first edges alone
    Pairs ends, followed;
    for (std::int32_t ab = 0; ab < edges; ++ab) {
      for (std::int32_t i = graph.triplets.row_splits[ab]; i < graph.triplets.row_splits[ab + 1]; ++i) {
        if (graph.triplets.edges[i] < edges) followed.emplace_back(ab, graph.triplets.edges[i]);
      }
    }
    std::vector<std::pair<std::int32_t, float>> nodes;
    for (std::size_t v = 0; v < graph.layer.size(); ++v) {
      nodes.emplace_back(graph.layer[v], graph.node_features[v * kNodeFeatures]);
    }
    for (std::int32_t e = 0; e < edges; ++e) ends.emplace_back(graph.edges.src[e], graph.edges.dst[e]);
    part.graph = layered_graph(nodes, ends, followed);
    part.graph.order = graph.order;
    part.scores.resize(static_cast<std::size_t>(edges));
    const Tracks host = build(part);
    expect_ok(cudaMemcpy(scores.data(), test.scores.data(), 220 * sizeof(float), cudaMemcpyHostToDevice));
    expect_ok(cudaMemcpy(count.data(), &edges, sizeof edges, cudaMemcpyHostToDevice));
    expect_ok(cudaDeviceSynchronize());
    expect_ok(cudaGraphLaunch(executable, stream));
    expect_ok(cudaStreamSynchronize(stream));
    ASSERT_EQ(number.get()[0], host.size());
    std::vector<std::int32_t> found_splits = row_splits.get(), found_hits = hits.get();
    found_splits.resize(host.row_splits.size());
    found_hits.resize(host.hits.size());
    EXPECT_EQ(found_splits, host.row_splits);
    EXPECT_EQ(found_hits, host.hits);
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(captured);
}

TEST_F(TracksCudaTest, AllEdgesOnOneNode) {
  constexpr std::int32_t kNodes = 3000;
  for (const auto builder : {TrackBuilder::components, TrackBuilder::walkthrough, TrackBuilder::junction_removal}) {
    for (const bool outwards : {true, false}) {
      std::vector<ScoredEdge> edges;
      for (std::int32_t v = 1; v < kNodes; ++v) {
        const float score = static_cast<float>(v % 7) / 7;
        edges.push_back(outwards ? ScoredEdge{0, v, score} : ScoredEdge{v, 0, score});
      }
      expect_as_on_the_host(edge_case("a star", kNodes, edges, builder, {}, 2));
    }
  }
}

TEST_F(TracksCudaTest, AnEdgeThatEndsNowhereTakesNoPartAndIsNamed) {
  Case test = random_case({60, 110}, 6);
  Case without = test;
  const auto spoil = [&](std::size_t edge, std::int32_t src, std::int32_t dst) {
    test.graph.edges.src[edge] = src;
    test.graph.edges.dst[edge] = dst;
    without.scores[edge] = std::numeric_limits<float>::quiet_NaN();
  };
  test.layered = without.layered = true;
  test.cuts.chain_layers = without.cuts.chain_layers = 0;
  spoil(90, 5, 60);
  spoil(31, -1, 4);
  spoil(32, 1 << 30, std::numeric_limits<std::int32_t>::min());
  const Tracks host = build(without);
  const Found device = run_on_device(test);
  EXPECT_EQ(device.bad_row, 31);
  EXPECT_EQ(device.row_splits, host.row_splits);
  EXPECT_EQ(device.hits, host.hits);
}

TEST_F(TracksCudaTest, WrongLayersOrderAndTripletsStayInRange) {
  for (std::uint32_t seed = 0; seed < 30; seed += 2) {
    Case test = random_case({50, 90}, seed);
    test.cuts.chain_layers = 12;
    test.cuts.min_hits = 1 + static_cast<int>(seed % 3);
    std::mt19937 random(seed);
    const auto any = [&] { return static_cast<std::int32_t>(random()); };
    for (int i = 0; i < 12; ++i) {
      test.graph.order[random() % 50] = i % 2 == 0 ? any() : static_cast<std::int32_t>(random() % 50);
      test.graph.layer[random() % 50] = any();
      test.graph.triplets.row_splits[random() % 91] = any() % 200;
      if (!test.graph.triplets.edges.empty()) {
        test.graph.triplets.edges[random() % test.graph.triplets.edges.size()] = any() % 120;
      }
    }
    const Found found = run_on_device(test);
    TracksView{found.row_splits, found.hits}.check(50, "WrongLayersOrderAndTriplets");
    std::vector<std::int32_t> hits = found.hits;
    std::sort(hits.begin(), hits.end());
    EXPECT_TRUE(std::adjacent_find(hits.begin(), hits.end()) == hits.end());
  }
}

TEST_F(TracksCudaTest, RefusesASmallWorkspaceAndNullPointers) {
  const OnDevice<std::int32_t> ends(std::vector<std::int32_t>{0, 1}), out(8);
  const OnDevice<float> scores(2);
  const Execution execution{.device = Device::cuda};
  const OnDevice<std::byte> workspace(build_tracks_bytes(2, 2, {}, execution));
  const EdgeListView edges{2, ends.span(), ends.span()};
  const TracksMemory tracks{out.data(), out.data() + 3, out.data() + 5};
  const auto less = workspace.span().first(workspace.span().size() - 1);
  expect_usage([&] { build_tracks(edges, scores.data(), {}, tracks, less, execution); }, "build_tracks: workspace of");
  expect_usage([&] { build_tracks(edges, nullptr, {}, tracks, workspace.span(), execution); },
               "build_tracks: scores is null");
  expect_usage(
      [&] {
        build_tracks(edges, scores.data(), {}, {tracks.row_splits, tracks.hits}, workspace.span(), execution);
      },
      "build_tracks: tracks.count is null");
  HitGraphView graph{edges, {}, {}, {}, {}, {}, {}};
  expect_usage([&] { build_tracks(graph, scores.data(), {}, tracks, workspace.span(), execution); },
               "build_tracks: node_features has 0 entries, expected 24");
}

/// An event's graph with the shipped model's scores, and its cuts.
void expect_event_as_on_the_host(const Hits& hits, std::int32_t fewest_tracks) {
  const TrackFinder finder =
      TrackFinder::load(std::filesystem::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
  Case test{"event", build_hit_graph(hits, finder.windows, finder.scales), true, {}, finder.cuts, {}};
  test.scores = Session(finder.plan()).run(test.graph);
  EXPECT_GE(build(test).size(), fewest_tracks);
  for (const auto builder : {TrackBuilder::walkthrough, TrackBuilder::components, TrackBuilder::junction_removal}) {
    test.cuts.builder = builder;
    for (const bool layered : {true, false}) {
      test.layered = layered;
      expect_as_on_the_host(test, layered ? 100 : 0);
    }
  }
}

TEST_F(TracksCudaTest, ASimulatedEventIsAsOnTheHost) {
  SimulationSettings settings;
  settings.pileup = 10;
  expect_event_as_on_the_host(
      simulate_event(read_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml"), settings,
                     0)
          .hits,
      20);
}

TEST_F(TracksCudaTest, ARealEventIsAsOnTheHost) {
  STARLING_NEEDS_DATA("trackml_ev1000_barrel");
  expect_event_as_on_the_host(
      read_event(data_folder() / "trackml_ev1000_barrel" / "event000001000", {.truth = false}).hits, 300);
}

}  // namespace
}  // namespace starling
