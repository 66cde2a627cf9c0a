#include "starling/tracks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "starling/error.h"
#include "starling/hit_graph.h"
#include "tracks_cases.h"

namespace starling {
namespace {

using namespace tracks_cases;

// The message of the Error of kind usage that `call` throws.
template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "";
}

Lists build(const HitGraph& graph, const TrackCuts& cuts) {
  return lists_of(build_tracks(graph, std::vector<float>(graph.edges.src.size(), 0.9F), cuts));
}

TEST(Builders, FindTheTracksOfTheTable) {
  for (const Case& test : table()) {
    SCOPED_TRACE(test.name + ", " + to_string(test.cuts.builder));
    EXPECT_EQ(lists_of(build(test)), test.expected);
  }
}

TEST(Builders, SayThatThereIsNoCuda) {
  try {
    require_cuda();
    GTEST_SKIP() << "there is a CUDA device";
  } catch (const Error& error) {
    try {
      (void)build_tracks_bytes(3, 2, {}, {.device = Device::cuda});
      FAIL() << "no error";
    } catch (const Error& found) {
      EXPECT_EQ(found.kind(), ErrorKind::device);
      EXPECT_STREQ(found.what(), error.what());
    }
  }
}

TEST(Builders, RejectWrongSizesAndIndices) {
  const auto refused = [](const EdgeList& edges, const std::vector<float>& scores) {
    return message_of([&] { build_tracks(edges, scores, {}); });
  };
  EXPECT_EQ(refused({2, {0}, {1}}, {}), "build_tracks: 0 scores, expected one per edge: 1");
  EXPECT_EQ(refused({2, {0}, {}}, {1}), "build_tracks: 1 src and 0 dst, expected as many of each");
  EXPECT_EQ(refused({2, {0, 0}, {1, 2}}, {1, 1}), "build_tracks: edge 1 ends at node 2, expected 0..1");
  EXPECT_EQ(refused({2, {-1}, {1}}, {1}), "build_tracks: edge 0 starts at node -1, expected 0..1");
  EXPECT_EQ(refused({-1, {}, {}}, {}), "build_tracks: num_nodes is -1, expected 0 or more");
}

TEST(Builders, RejectHitGraphsWhoseArraysDoNotFit) {
  const HitGraph good = layered_graph({{0, 1}, {1, 2}, {2, 3}, {3, 4}}, {{0, 1}, {1, 2}, {2, 3}}, {{0, 1}, {1, 2}});
  ASSERT_EQ(build(good, {}).size(), 1U);
  const auto refused = [&](const auto& spoil) {
    HitGraph graph = good;
    spoil(graph);
    return message_of([&] { build(graph, {}); });
  };
  using G = HitGraph;
  EXPECT_EQ(refused([](G& g) { g.layer.pop_back(); }), "build_tracks: layer has 3 entries, expected 4");
  EXPECT_EQ(refused([](G& g) { g.order.pop_back(); }), "build_tracks: order has 3 entries, expected 4");
  EXPECT_EQ(refused([](G& g) { g.order[3] = 1; }),
            "build_tracks: order holds 1 at entry 3, expected each of 0..3 once");
  EXPECT_EQ(refused([](G& g) { g.order[0] = 4; }),
            "build_tracks: order holds 4 at entry 0, expected each of 0..3 once");
  EXPECT_EQ(refused([](G& g) { g.order[0] = -1; }),
            "build_tracks: order holds -1 at entry 0, expected each of 0..3 once");
  EXPECT_EQ(refused([](G& g) { g.node_features.pop_back(); }),
            "build_tracks: node_features has 47 entries, expected 48");
  EXPECT_EQ(refused([](G& g) { g.edge_features.pop_back(); }),
            "build_tracks: edge_features has 17 entries, expected 18");
  EXPECT_EQ(refused([](G& g) { g.triplets.row_splits.pop_back(); }),
            "build_tracks: triplet_splits has 3 entries, expected 4");
  EXPECT_EQ(refused([](G& g) { g.triplets.row_splits[1] = 3; }), "build_tracks: triplet_splits falls to 2 at entry 2");
  EXPECT_EQ(refused([](G& g) { g.triplets.row_splits[0] = -1; }),
            "build_tracks: triplet_splits falls to -1 at entry 0");
  EXPECT_EQ(refused([](G& g) { g.triplets.edges.pop_back(); }), "build_tracks: triplets has 1 entries, expected 2");
  EXPECT_EQ(refused([](G& g) { g.triplets.edges[1] = 3; }),
            "build_tracks: a triplet goes on along edge 3, expected 0..2");
  EXPECT_EQ(refused([](G& g) { g.triplets.edges[0] = 2; }), "build_tracks: the edges 0 and 2 of a triplet do not meet");
  EXPECT_EQ(refused([](G& g) { g.edges.dst[2] = 4; }), "build_tracks: edge 2 ends at node 4, expected 0..3");
}

TEST(Builders, FillTheCallersMemory) {
  const HitGraph graph = layered_graph({{0, 1}, {1, 2}, {2, 3}, {3, 4}}, {{0, 1}, {1, 2}, {2, 3}}, {{0, 1}, {1, 2}});
  const std::vector<float> scores(3, 1);
  std::vector<std::int32_t> row_splits(5, -7), hits(4, -7);
  std::int32_t count = -7;
  const TracksMemory memory{row_splits.data(), hits.data(), &count};
  std::vector<std::byte> workspace(build_tracks_bytes(4, 3, {}));
  build_tracks(graph, scores.data(), {}, memory, workspace);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(row_splits, (std::vector<std::int32_t>{0, 4, -7, -7, -7}));
  EXPECT_EQ(hits, (std::vector<std::int32_t>{0, 1, 2, 3}));
  TrackCuts whole;
  whole.min_hits = 5;
  build_tracks(graph.edges, scores.data(), whole, memory, workspace);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(message_of([&] {
              build_tracks(graph, scores.data(), {}, {nullptr, hits.data(), &count}, workspace);
            }),
            "build_tracks: tracks.row_splits is null: expected an array");
  EXPECT_EQ(message_of([&] { build_tracks(graph.edges, nullptr, {}, memory, workspace); }),
            "build_tracks: scores is null: expected an array");
  EXPECT_EQ(message_of([&] { (void)build_tracks_bytes(-1, 3, {}); }),
            "build_tracks_bytes: num_nodes is -1: expected 0 to 2147483647");
}

// The definition read literally: after each path everything is worked out anew by following every way.
Lists plain_walkthrough(const Case& test) {
  const TrackCuts& cuts = test.cuts;
  const EdgeList& all = test.graph.edges;
  const std::int32_t n = all.num_nodes;
  std::vector<ScoredEdge> edges;
  for (std::size_t e = 0; e < test.scores.size(); ++e) {
    if (test.scores[e] >= cuts.walk_min && all.src[e] != all.dst[e]) {
      edges.push_back({all.src[e], all.dst[e], test.scores[e]});
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
    const Case test = edge_case("", n, edges, TrackBuilder::walkthrough, {}, 2 + static_cast<int>(random() % 2));
    Lists expected = plain_walkthrough(test);
    Lists found = lists_of(build(test));
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
    const Lists first = lists_of(build(edge_case("", 310, edges, builder)));
    std::vector<ScoredEdge> shuffled = edges;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    EXPECT_EQ(lists_of(build(edge_case("", 310, shuffled, builder))), first) << to_string(builder);
  }
}

TEST(Tracks, KnowTheTrackOfEachHit) {
  const Tracks tracks = tracks_from_labels(std::vector<std::int32_t>{-1, 7, 2, 7, -1, 2, 0});
  EXPECT_EQ(lists_of(tracks), (Lists{{1, 3}, {2, 5}, {6}}));
  EXPECT_EQ(tracks.track_of_hit(7), (std::vector<std::int32_t>{-1, 0, 1, 0, -1, 1, 2}));
  EXPECT_EQ(tracks_from_labels({}).size(), 0);
}

TEST(Tracks, RefuseHitsThatAreNotThere) {
  const auto refused = [](std::vector<std::int32_t> row_splits, std::vector<std::int32_t> hits) {
    return message_of([&] { (void)TracksView{row_splits, hits}.track_of_hit(3); });
  };
  EXPECT_EQ(refused({0, 2}, {0, 3}), "track_of_hit: entry 1 of the tracks' hits is 3, expected 0..2");
  EXPECT_EQ(refused({0, 2}, {-1, 2}), "track_of_hit: entry 0 of the tracks' hits is -1, expected 0..2");
  EXPECT_EQ(refused({0, 3}, {0, 1}), "track_of_hit: row splits of tracks do not go from 0 to the number of hits, 2");
  EXPECT_EQ(refused({1, 2}, {0, 1}), "track_of_hit: row splits of tracks do not go from 0 to the number of hits, 2");
  EXPECT_EQ(refused({0, 2, 1, 2}, {0, 1}), "track_of_hit: the row splits of track 1 fall");
  EXPECT_EQ(refused({0, 2}, {0, 1}), "");
  EXPECT_EQ(refused({}, {}), "");
}

TEST(Tracks, RefuseANegativeNumberOfHits) {
  EXPECT_EQ(message_of([] { (void)TracksView{}.track_of_hit(-3); }), "track_of_hit: -3 hits, expected 0 or more");
}

TEST(Tracks, AMovedFromObjectHasNone) {
  Tracks tracks = tracks_from_labels(std::vector<std::int32_t>{0, 0});
  const Tracks taken = std::move(tracks);
  EXPECT_EQ(taken.size(), 1);
  EXPECT_EQ(tracks.size(), 0);  // NOLINT: that is what is tested
}

TEST(TrackBuilder, HasNames) {
  for (const auto builder : {TrackBuilder::components, TrackBuilder::walkthrough, TrackBuilder::junction_removal}) {
    EXPECT_EQ(parse_track_builder(to_string(builder)), builder);
  }
  EXPECT_THROW(parse_track_builder("walk"), Error);
  const std::string message = "track builder 3: expected components, walkthrough or junction_removal";
  TrackCuts cuts;
  cuts.builder = static_cast<TrackBuilder>(3);
  EXPECT_EQ(message_of([&] { (void)to_string(cuts.builder); }), message);
  EXPECT_EQ(message_of([&] { build_tracks(EdgeList{}, {}, cuts); }), message);
  EXPECT_EQ(message_of([&] { build_tracks(layered_graph({}, {}, {}), {}, cuts); }), message);
}

}  // namespace
}  // namespace starling
