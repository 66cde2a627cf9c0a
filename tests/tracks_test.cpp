#include "starling/tracks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "hit_graph/windows.h"
#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

using Lists = std::vector<std::vector<std::int32_t>>;

struct ScoredGraph {
  EdgeList edges;
  std::vector<float> scores;
};

struct ScoredEdge {
  std::int32_t src, dst;
  float score;
};

ScoredGraph graph_of(std::int32_t num_nodes, const std::vector<ScoredEdge>& edges) {
  ScoredGraph graph;
  graph.edges.num_nodes = num_nodes;
  for (const ScoredEdge& edge : edges) {
    graph.edges.src.push_back(edge.src);
    graph.edges.dst.push_back(edge.dst);
    graph.scores.push_back(edge.score);
  }
  return graph;
}

Lists lists_of(const Tracks& tracks) {
  Lists lists;
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    lists.emplace_back(tracks.hits.begin() + tracks.row_splits[t], tracks.hits.begin() + tracks.row_splits[t + 1]);
  }
  return lists;
}

Lists build(const ScoredGraph& graph, TrackBuilder builder, int min_hits = 3) {
  TrackCuts cuts;
  cuts.builder = builder;
  cuts.min_hits = min_hits;
  return lists_of(build_tracks(graph.edges, graph.scores, cuts));
}

// Layers 1 to 4 of volume 1, and windows that straight lines from the beam line pass.
Windows straight_windows() {
  auto content = std::make_unique<Windows::Content>();
  content->min_pt = 1;
  content->volume_id = {1, 1, 1, 1};
  content->layer_id = {1, 2, 3, 4};
  content->pair_src = {0, 1, 2};
  content->pair_dst = {1, 2, 3};
  content->triple_first = {0, 1};
  content->triple_second = {1, 2};
  const float all = std::numeric_limits<float>::max();
  content->pair_cells = {0, 1, 2, 3};
  content->pair_cot = {all, all, all};
  content->pair_k = {1, 1, 1};
  content->pair_z0 = {1000, 1000, 1000};
  content->triple_cells = {0, 1, 2};
  content->triple_cot = {all, all};
  content->triple_k = {1e-3F, 1e-3F};
  content->triple_d0 = {1, 1};
  content->triple_bend = {0.01F, 0.01F};
  content->overlap_distance = content->overlap_rphi = {0, 0, 0, 0};
  content->index();
  return Windows(std::move(content));
}

TEST(ShortTracks, MustBeWholeChains) {
  // Three tracks along x, y and −x: straight, with a step in z, and straight over three layers with a second hit
  // beside.
  Hits hits;
  const auto add = [&](float x, float y, float z, int layer) {
    hits.hit_id.push_back(hits.size());
    hits.x.push_back(x);
    hits.y.push_back(y);
    hits.z.push_back(z);
    hits.volume_id.push_back(1);
    hits.layer_id.push_back(layer);
    hits.module_id.push_back(hits.size());
  };
  for (int layer = 1; layer <= 4; ++layer) add(100.F * layer, 0, 50.F * layer, layer);
  for (int layer = 1; layer <= 4; ++layer) add(0, 100.F * layer, 50.F * layer + (layer == 3 ? 10 : 0), layer);
  for (int layer = 1; layer <= 3; ++layer) add(-100.F * layer, 0, 50.F * layer, layer);
  add(-301, 0, 150.5F, 3);
  HitGraph graph;
  std::vector<float> scores;
  graph.edges.num_nodes = hits.size();
  for (const auto& [src, dst] :
       std::vector<std::pair<int, int>>{{0, 1}, {1, 2}, {2, 3}, {4, 5}, {5, 6}, {6, 7}, {8, 9}, {9, 10}, {10, 11}}) {
    graph.edges.src.push_back(src);
    graph.edges.dst.push_back(dst);
    scores.push_back(0.9F);
  }
  const Windows windows = straight_windows();
  TrackCuts cuts;
  const auto found = [&](int chain_layers) {
    cuts.chain_layers = chain_layers;
    return lists_of(build_tracks(graph, scores, cuts, hits, windows));
  };
  const Lists all = {{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}}, straight = {{0, 1, 2, 3}, {8, 9, 10, 11}};
  EXPECT_EQ(found(0), all);
  EXPECT_EQ(found(3), all) << "the broken one is on four layers";
  EXPECT_EQ(found(4), straight);
  EXPECT_EQ(found(5), straight);
  hits.hit_id.pop_back();
  EXPECT_THROW(build_tracks(graph, scores, cuts, hits, windows), Error);
}

TEST(Components, JoinEdgesAboveTheCut) {
  const ScoredGraph graph = graph_of(
      9,
      {{4, 2, 0.9F}, {2, 0, 0.5F}, {0, 7, 0.49F}, {1, 3, 1}, {3, 5, 1}, {3, 6, 1}, {7, 8, 1}, {0, 1, std::nanf("")}});
  EXPECT_EQ(build(graph, TrackBuilder::components), (Lists{{4, 2, 0}, {1, 3, 5, 6}})) << "hits go outwards";
  EXPECT_EQ(build(graph, TrackBuilder::components, 2), (Lists{{4, 2, 0}, {1, 3, 5, 6}, {7, 8}}));
}

TEST(Builders, TakeEmptyAndOddGraphs) {
  for (const auto builder : {TrackBuilder::components, TrackBuilder::walkthrough, TrackBuilder::junction_removal}) {
    EXPECT_EQ(build(graph_of(0, {}), builder), Lists{});
    EXPECT_EQ(build(graph_of(5, {}), builder), Lists{});
    EXPECT_EQ(build(graph_of(1, {{0, 0, 1}}), builder), Lists{}) << "an edge to itself joins nothing";
    EXPECT_EQ(build(graph_of(2, {{0, 1, 1}, {0, 1, 1}}), builder, 2), (Lists{{0, 1}})) << "a repeated edge";
    EXPECT_EQ(build(graph_of(3, {{0, 1, 1}, {1, 2, 1}, {2, 0, 1}}), builder).size(), 1U) << "a cycle";
  }
}

TEST(Builders, RejectWrongSizesAndIndices) {
  EXPECT_THROW(build_tracks({2, {0}, {1}}, std::vector<float>{}, {}), Error);
  EXPECT_THROW(build_tracks({2, {0}, {}}, std::vector<float>{1}, {}), Error);
  EXPECT_THROW(build_tracks({2, {0}, {2}}, std::vector<float>{1}, {}), Error);
  EXPECT_THROW(build_tracks({2, {-1}, {1}}, std::vector<float>{1}, {}), Error);
}

TEST(JunctionRemoval, KeepsTheBestEdgeOfEachSide) {
  // 0→1→2→3 with a second continuation at 1 and a second arrival at 2.
  const ScoredGraph graph =
      graph_of(7, {{0, 1, 0.9F}, {1, 2, 0.9F}, {2, 3, 0.9F}, {1, 4, 0.8F}, {4, 5, 1}, {5, 6, 1}, {4, 2, 0.7F}});
  EXPECT_EQ(build(graph, TrackBuilder::junction_removal), (Lists{{0, 1, 2, 3}, {4, 5, 6}}));
}

TEST(JunctionRemoval, TiesGoToTheSmallerHit) {
  const ScoredGraph graph = graph_of(5, {{0, 1, 1}, {1, 4, 1}, {1, 3, 1}, {2, 1, 1}});
  EXPECT_EQ(build(graph, TrackBuilder::junction_removal), (Lists{{0, 1, 3}}));
}

TEST(Walkthrough, TakesSimpleComponentsWhole) {
  const ScoredGraph graph = graph_of(6, {{5, 3, 0.2F}, {3, 1, 0.15F}, {1, 0, 0.09F}, {2, 4, 1}});
  EXPECT_EQ(build(graph, TrackBuilder::walkthrough), (Lists{{5, 3, 1}})) << "0.09 is below the walk's minimum";
}

TEST(Walkthrough, SplitsTwoTracksThatShareAnEdge) {
  // 0→1→2→3→4 and 5→6→7→8, joined by a poor edge 6→3.
  const ScoredGraph graph =
      graph_of(9, {{0, 1, 1}, {1, 2, 1}, {2, 3, 1}, {3, 4, 1}, {5, 6, 1}, {6, 7, 1}, {7, 8, 1}, {6, 3, 0.3F}});
  EXPECT_EQ(build(graph, TrackBuilder::walkthrough), (Lists{{0, 1, 2, 3, 4}, {5, 6, 7, 8}}));
  EXPECT_EQ(build(graph, TrackBuilder::components).size(), 2U);
}

TEST(Walkthrough, PrefersTheWayThroughTheMiddleOverTheSkip) {
  // The skip 0→2 scores best, but 0→1→2 is longer and above the adding cut.
  const ScoredGraph graph = graph_of(4, {{0, 1, 0.7F}, {0, 2, 0.99F}, {1, 2, 0.7F}, {2, 3, 0.9F}});
  EXPECT_EQ(build(graph, TrackBuilder::walkthrough), (Lists{{0, 1, 2, 3}}));
  const ScoredGraph weak = graph_of(4, {{0, 1, 0.5F}, {0, 2, 0.99F}, {1, 2, 0.5F}, {2, 3, 0.9F}});
  EXPECT_EQ(build(weak, TrackBuilder::walkthrough), (Lists{{0, 2, 3}})) << "0.5 is neither best nor above 0.6";
}

TEST(Walkthrough, TakesSecondHitsOfOverlapsAlong) {
  // 0→1→2→3→9 with a second hit 4 beside 1 and 5 beside 3; 6→7→10→11 is joined to it by 7→2 and keeps its own.
  const ScoredGraph graph = graph_of(12, {{0, 1, 0.9F},
                                          {0, 4, 0.8F},
                                          {1, 2, 0.9F},
                                          {4, 2, 0.8F},
                                          {2, 3, 0.9F},
                                          {2, 5, 0.8F},
                                          {3, 9, 0.9F},
                                          {5, 9, 0.7F},
                                          {6, 7, 0.9F},
                                          {7, 10, 0.9F},
                                          {10, 11, 0.9F},
                                          {7, 2, 0.7F}});
  EXPECT_EQ(build(graph, TrackBuilder::walkthrough), (Lists{{0, 1, 4, 2, 3, 5, 9}, {6, 7, 10, 11}}));
}

TEST(Walkthrough, TiesGoToTheSmallerHit) {
  const ScoredGraph graph = graph_of(6, {{0, 1, 0.9F}, {1, 5, 0.5F}, {1, 4, 0.5F}, {1, 3, 0.5F}, {2, 1, 0.5F}});
  EXPECT_EQ(build(graph, TrackBuilder::walkthrough), (Lists{{0, 1, 3}}));
}

TEST(Walkthrough, OfEqualLengthsTheBetterScoredGoesFirst) {
  const ScoredGraph graph = graph_of(5, {{0, 1, 0.9F}, {1, 3, 0.4F}, {1, 4, 0.5F}, {2, 1, 0.5F}});
  EXPECT_EQ(build(graph, TrackBuilder::walkthrough), (Lists{{0, 1, 4}}));
}

// The definition read literally: after each path everything is worked out anew by following every way.
Lists plain_walkthrough(const ScoredGraph& graph, const TrackCuts& cuts) {
  const std::int32_t n = graph.edges.num_nodes;
  std::vector<ScoredEdge> edges;
  for (std::size_t e = 0; e < graph.scores.size(); ++e) {
    if (graph.scores[e] >= cuts.walk_min && graph.edges.src[e] != graph.edges.dst[e]) {
      edges.push_back({graph.edges.src[e], graph.edges.dst[e], graph.scores[e]});
    }
  }
  std::vector<std::int32_t> label(n), degree(n, 0);
  for (std::int32_t v = 0; v < n; ++v) label[v] = v;
  for (bool changed = true; changed;) {
    changed = false;
    for (const ScoredEdge& edge : edges) {
      const std::int32_t low = std::min(label[edge.src], label[edge.dst]);
      changed |= label[edge.src] != low || label[edge.dst] != low;
      label[edge.src] = label[edge.dst] = low;
    }
  }
  for (const ScoredEdge& edge : edges) ++degree[edge.src], ++degree[edge.dst];
  Lists lists;
  std::set<std::int32_t> alive;
  for (std::int32_t c = 0; c < n; ++c) {
    std::vector<std::int32_t> hits;
    bool simple = true;
    for (std::int32_t v = 0; v < n; ++v) {
      if (label[v] != c) continue;
      hits.push_back(v);
      simple = simple && degree[v] <= 2;
    }
    if (!simple) {
      alive.insert(hits.begin(), hits.end());
    } else if (static_cast<int>(hits.size()) >= cuts.min_hits) {
      lists.push_back(hits);
    }
  }

  struct Path {
    std::vector<std::int32_t> hits;
    double score;
  };
  const auto better = [](const Path& a, const Path& b) {
    if (a.hits.size() != b.hits.size()) return a.hits.size() > b.hits.size();
    if (a.score != b.score) return a.score > b.score;
    return a.hits < b.hits;
  };
  while (!alive.empty()) {
    const std::function<Path(std::int32_t)> longest = [&](std::int32_t v) {
      const ScoredEdge* best = nullptr;
      for (const ScoredEdge& edge : edges) {
        if (edge.src != v || alive.count(edge.dst) == 0) continue;
        if (best == nullptr || edge.score > best->score || (edge.score == best->score && edge.dst < best->dst)) {
          best = &edge;
        }
      }
      Path chosen{{}, 0};
      for (const ScoredEdge& edge : edges) {
        if (edge.src != v || alive.count(edge.dst) == 0 || (&edge != best && edge.score < cuts.walk_add)) continue;
        Path path = longest(edge.dst);
        path.score += double{edge.score};
        if (chosen.hits.empty() || better(path, chosen)) chosen = path;
      }
      chosen.hits.insert(chosen.hits.begin(), v);
      return chosen;
    };
    Path chosen{{}, 0};
    for (const std::int32_t v : alive) {
      const bool inner_end = std::none_of(edges.begin(), edges.end(), [&](const ScoredEdge& edge) {
        return edge.dst == v && alive.count(edge.src) != 0;
      });
      if (!inner_end) continue;
      const Path path = longest(v);
      if (chosen.hits.empty() || better(path, chosen)) chosen = path;
    }
    if (static_cast<int>(chosen.hits.size()) < cuts.min_hits) {
      alive.erase(chosen.hits.front());
      continue;
    }
    for (std::vector<std::int32_t> beside = {-1}; !beside.empty();) {
      const std::set<std::int32_t> path(chosen.hits.begin(), chosen.hits.end());
      beside.clear();
      for (const std::int32_t v : alive) {
        int in = 0, out = 0, elsewhere = 0;
        for (const ScoredEdge& edge : edges) {
          if (edge.score < cuts.walk_add || (edge.src != v && edge.dst != v)) continue;
          const std::int32_t other = edge.src == v ? edge.dst : edge.src;
          if (alive.count(other) == 0) continue;
          ++(path.count(other) == 0 ? elsewhere : edge.src == v ? out : in);
        }
        const bool joins = (in > 0 && out > 0 && in + out >= elsewhere) || (in + out > 0 && elsewhere == 0);
        if (joins && path.count(v) == 0) beside.push_back(v);
      }
      chosen.hits.insert(chosen.hits.end(), beside.begin(), beside.end());
    }
    for (const std::int32_t v : chosen.hits) alive.erase(v);
    lists.push_back(chosen.hits);
  }
  return lists;
}

TEST(Walkthrough, AgreesWithThePlainReading) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 400; ++trial) {
    const auto n = static_cast<std::int32_t>(3 + random() % 30);
    std::vector<std::int32_t> outwards(n);
    for (std::int32_t v = 0; v < n; ++v) outwards[v] = v;
    std::shuffle(outwards.begin(), outwards.end(), random);
    std::vector<ScoredEdge> edges;
    const std::size_t count = random() % (2 * static_cast<std::size_t>(n));
    for (std::size_t e = 0; e < count; ++e) {
      const auto a = static_cast<std::int32_t>(random() % n);
      const auto b = std::min<std::int32_t>(n - 1, a + 1 + static_cast<std::int32_t>(random() % 5));
      // Few distinct scores, so that ties are common; sums of eighths are exact in any order.
      if (a != b) edges.push_back({outwards[a], outwards[b], static_cast<float>(random() % 9) / 8});
    }
    const ScoredGraph graph = graph_of(n, edges);
    TrackCuts cuts;
    cuts.min_hits = 2 + static_cast<int>(random() % 2);
    Lists expected = plain_walkthrough(graph, cuts);
    Lists found = lists_of(build_tracks(graph.edges, graph.scores, cuts));
    for (Lists* lists : {&expected, &found}) {
      for (auto& list : *lists) std::sort(list.begin(), list.end());
      std::sort(lists->begin(), lists->end());
    }
    ASSERT_EQ(found, expected) << "trial " << trial;
  }
}

TEST(Builders, DoNotDependOnTheOrderOfEdges) {
  std::mt19937 random(3);
  std::vector<ScoredEdge> edges;
  for (int e = 0; e < 600; ++e) {
    const auto a = static_cast<std::int32_t>(random() % 300);
    edges.push_back({a, static_cast<std::int32_t>(a + 1 + random() % 9), static_cast<float>(random() % 5) / 4});
  }
  for (const auto builder : {TrackBuilder::components, TrackBuilder::walkthrough, TrackBuilder::junction_removal}) {
    const Lists first = build(graph_of(310, edges), builder);
    std::vector<ScoredEdge> shuffled = edges;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    EXPECT_EQ(build(graph_of(310, shuffled), builder), first) << to_string(builder);
  }
}

TEST(Tracks, KnowTheTrackOfEachHit) {
  const Tracks tracks = tracks_from_labels(std::vector<std::int32_t>{-1, 7, 2, 7, -1, 2, 0});
  EXPECT_EQ(lists_of(tracks), (Lists{{1, 3}, {2, 5}, {6}}));
  EXPECT_EQ(tracks.track_of_hit(7), (std::vector<std::int32_t>{-1, 0, 1, 0, -1, 1, 2}));
  EXPECT_EQ(tracks_from_labels({}).size(), 0);
}

TEST(TrackBuilder, HasNames) {
  for (const auto builder : {TrackBuilder::components, TrackBuilder::walkthrough, TrackBuilder::junction_removal}) {
    EXPECT_EQ(parse_track_builder(to_string(builder)), builder);
  }
  EXPECT_THROW(parse_track_builder("walk"), Error);
}

}  // namespace
}  // namespace starling
