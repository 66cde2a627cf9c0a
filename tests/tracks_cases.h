#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "starling/hit_graph.h"
#include "starling/tracks.h"

// Scored graphs for track building: a table with the tracks that are right, and random ones.
namespace starling::tracks_cases {

using Lists = std::vector<std::vector<std::int32_t>>;

struct ScoredEdge {
  std::int32_t src, dst;
  float score;
};

struct Case {
  std::string name;
  HitGraph graph;  ///< edges alone where not `layered`
  bool layered;
  std::vector<float> scores;
  TrackCuts cuts;
  Lists expected;  ///< of a case of the table
};

inline Tracks build(const Case& test) {
  return test.layered ? build_tracks(test.graph, test.scores, test.cuts)
                      : build_tracks(test.graph.edges, test.scores, test.cuts);
}

inline Lists lists_of(const Tracks& tracks) {
  Lists lists;
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    lists.emplace_back(tracks.hits.begin() + tracks.row_splits[t], tracks.hits.begin() + tracks.row_splits[t + 1]);
  }
  return lists;
}

inline Case edge_case(std::string name, std::int32_t num_nodes, const std::vector<ScoredEdge>& edges,
                      TrackBuilder builder, Lists expected = {}, int min_hits = 3) {
  Case result{std::move(name), {}, false, {}, {}, std::move(expected)};
  result.graph.edges.num_nodes = num_nodes;
  for (const ScoredEdge& edge : edges) {
    result.graph.edges.src.push_back(edge.src);
    result.graph.edges.dst.push_back(edge.dst);
    result.scores.push_back(edge.score);
  }
  result.cuts.builder = builder;
  result.cuts.min_hits = min_hits;
  return result;
}

/// Adds to the graph a node on this layer, at this distance from the beam line, last in its order.
inline void add_node(HitGraph& graph, std::int32_t layer, float radius) {
  graph.order.push_back(graph.edges.num_nodes++);
  graph.layer.push_back(layer);
  graph.node_features.resize(graph.layer.size() * kNodeFeatures);
  graph.node_features[graph.node_features.size() - kNodeFeatures] = radius;
}

using Pairs = std::vector<std::pair<std::int32_t, std::int32_t>>;

/// A hit graph with nodes (layer, distance from the beam line), these edges, and triplets: pairs of edges.
inline HitGraph layered_graph(const std::vector<std::pair<std::int32_t, float>>& nodes, const Pairs& edges,
                              const Pairs& triplets) {
  HitGraph graph;
  for (const auto& [layer, radius] : nodes) add_node(graph, layer, radius);
  for (const auto& [src, dst] : edges) {
    graph.edges.src.push_back(src);
    graph.edges.dst.push_back(dst);
  }
  std::vector<std::int32_t> first;
  for (const auto& [ab, bc] : triplets) {
    first.push_back(ab);
    graph.triplets.edges.push_back(bc);
  }
  graph.triplets.row_splits = group_edges(first, static_cast<std::int32_t>(edges.size())).row_splits;
  graph.edge_features.resize(edges.size() * kEdgeFeatures);
  return graph;
}

/// All edges of score 0.9.
inline Case layered_case(std::string name, HitGraph graph, const TrackCuts& cuts, Lists expected) {
  const std::size_t edges = graph.edges.src.size();
  return {std::move(name), std::move(graph), true, std::vector<float>(edges, 0.9F), cuts, std::move(expected)};
}

inline TrackCuts chains(int chain_layers, int min_hits = 3) {
  TrackCuts cuts;
  cuts.chain_layers = chain_layers;
  cuts.min_hits = min_hits;
  return cuts;
}

inline void add_chain_cases(std::vector<Case>& cases) {
  // Three candidates: a whole one, one with a triplet missing, and one over three layers with a second hit beside.
  const HitGraph three = layered_graph(
      {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {0, 1}, {1, 2}, {2, 3}, {3, 4}, {0, 1}, {1, 2}, {2, 3}, {2, 3.01F}},
      {{0, 1}, {1, 2}, {2, 3}, {4, 5}, {5, 6}, {6, 7}, {8, 9}, {9, 10}, {10, 11}}, {{0, 1}, {1, 2}, {3, 4}, {6, 7}});
  const Lists all = {{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}}, whole = {{0, 1, 2, 3}, {8, 9, 10, 11}};
  cases.push_back(layered_case("no chain cut", three, chains(0), all));
  cases.push_back(layered_case("the broken one is on four layers", three, chains(3), all));
  cases.push_back(layered_case("whole chains", three, chains(4), whole));
  cases.push_back(layered_case("whole chains of five", three, chains(5), whole));

  // Hits 1 and 2 are on one layer: 0→1→3 is no triplet, 0→2→3 is one.
  const std::vector<std::pair<std::int32_t, float>> nodes = {{0, 1}, {1, 2}, {1, 2.01F}, {2, 3}};
  const Pairs edges = {{0, 1}, {0, 2}, {1, 3}, {2, 3}};
  cases.push_back(layered_case("a chain goes through any hit of a layer", layered_graph(nodes, edges, {{1, 3}}),
                               chains(5), {{0, 1, 2, 3}}));
  cases.push_back(layered_case("no triplet", layered_graph(nodes, edges, {}), chains(5), {}));

  const HitGraph two = layered_graph({{0, 1}, {1, 2}, {1, 2.01F}}, {{0, 1}, {1, 2}}, {});
  cases.push_back(layered_case("two layers are no chain", two, chains(5, 2), {}));
  cases.push_back(layered_case("a chain cut of one layer", two, chains(1, 2), {{0, 1, 2}}));

  // The chain of 0→1→2 ends at 2; that of 3 goes on in another candidate, 4→5→6, of the same layers.
  HitGraph other = layered_graph({{0, 1}, {1, 2}, {2, 3}, {0, 1}, {1, 2}, {2, 3}},
                                 {{0, 1}, {1, 2}, {1, 5}, {3, 4}, {4, 5}, {4, 2}}, {{0, 2}, {3, 5}});
  Case weak = layered_case("a chain does not go on along another candidate", other, chains(5), {});
  weak.scores[2] = weak.scores[5] = 0;
  cases.push_back(weak);
}

inline void add_order_cases(std::vector<Case>& cases) {
  // 0→1→2→3 with 4 beside 2 and 1→4, so 4 is as far from the inner end as 2, and 5 beside 1 though 0→5→3 skips a layer.
  const HitGraph graph = layered_graph({{7, 1}, {5, 2}, {3, 3}, {8, 4}, {3, 2.9F}, {5, 2.1F}},
                                       {{0, 1}, {0, 5}, {1, 2}, {1, 4}, {2, 3}, {4, 3}, {5, 3}}, {});
  TrackCuts cuts = chains(0);
  for (const auto builder : {TrackBuilder::walkthrough, TrackBuilder::components}) {
    cuts.builder = builder;
    cases.push_back(layered_case("hits go outwards layer by layer", graph, cuts, {{0, 1, 5, 4, 2, 3}}));
  }
  HitGraph tie = layered_graph({{0, 1}, {1, 2}, {2, 3}, {2, 3}}, {{0, 1}, {1, 2}, {1, 3}}, {});
  cuts = chains(0);
  cuts.walk_add = 0.95F;
  cases.push_back(layered_case("ties go to the hit that comes first", tie, cuts, {{0, 1, 2}}));
  tie.order = {3, 2, 1, 0};
  cases.push_back(layered_case("ties go to the hit that comes first in the order", tie, cuts, {{0, 1, 3}}));
}

inline void add_edge_cases(std::vector<Case>& cases) {
  using enum TrackBuilder;
  const float nan = std::nanf("");
  const std::vector<ScoredEdge> joined = {{4, 2, 0.9F}, {2, 0, 0.5F}, {0, 7, 0.49F}, {1, 3, 1},
                                          {3, 5, 1},    {3, 6, 1},    {7, 8, 1},     {0, 1, nan}};
  cases.push_back(
      edge_case("components above the cut, hits outwards", 9, joined, components, {{4, 2, 0}, {1, 3, 5, 6}}));
  cases.push_back(edge_case("components of two", 9, joined, components, {{4, 2, 0}, {1, 3, 5, 6}, {7, 8}}, 2));
  for (const auto builder : {components, walkthrough, junction_removal}) {
    cases.push_back(edge_case("no node", 0, {}, builder));
    cases.push_back(edge_case("no edge", 5, {}, builder));
    cases.push_back(edge_case("hits alone", 3, {{0, 1, 0.05F}}, builder, {{0}, {1}, {2}}, 1));
    cases.push_back(edge_case("an edge to itself joins nothing", 1, {{0, 0, 1}}, builder));
    cases.push_back(edge_case("a repeated edge", 2, {{0, 1, 1}, {0, 1, 1}}, builder, {{0, 1}}, 2));
    cases.push_back(edge_case("a cycle", 3, {{0, 1, 1}, {1, 2, 1}, {2, 0, 1}}, builder, {{0, 1, 2}}));
    cases.push_back(edge_case("scores that are no numbers", 3, {{0, 1, nan}, {1, 2, nan}, {0, 2, nan}}, builder));
  }
  // A cycle in a walk: 0 goes first of those that wait for each other, so 2→0 is left out.
  cases.push_back(edge_case("a cycle beside a path", 5, {{0, 1, 1}, {1, 2, 1}, {2, 0, 1}, {2, 3, 1}, {1, 4, 0.2F}},
                            walkthrough, {{0, 1, 2, 3}}));
  // 0→1→2→3 with a second continuation at 1 and a second arrival at 2.
  cases.push_back(
      edge_case("the best edge of each side", 7,
                {{0, 1, 0.9F}, {1, 2, 0.9F}, {2, 3, 0.9F}, {1, 4, 0.8F}, {4, 5, 1}, {5, 6, 1}, {4, 2, 0.7F}},
                junction_removal, {{0, 1, 2, 3}, {4, 5, 6}}));
  cases.push_back(edge_case("ties go to the smaller hit", 5, {{0, 1, 1}, {1, 4, 1}, {1, 3, 1}, {2, 1, 1}},
                            junction_removal, {{0, 1, 3}}));
  Case zeros =
      edge_case("0 and -0 are one score", 4, {{0, 2, 0.F}, {0, 1, -0.F}, {1, 3, 1}}, junction_removal, {{0, 1, 3}});
  zeros.cuts.score = 0;
  cases.push_back(zeros);
}

inline void add_walk_cases(std::vector<Case>& cases) {
  const auto add = [&](std::string name, std::int32_t num_nodes, const std::vector<ScoredEdge>& edges, Lists expected) {
    cases.push_back(edge_case(std::move(name), num_nodes, edges, TrackBuilder::walkthrough, std::move(expected)));
  };
  add("simple components whole; 0.09 is below the walk's minimum", 6,
      {{5, 3, 0.2F}, {3, 1, 0.15F}, {1, 0, 0.09F}, {2, 4, 1}}, {{5, 3, 1}});
  // 0→1→2→3→4 and 5→6→7→8, joined by a poor edge 6→3.
  add("two tracks that share an edge", 9,
      {{0, 1, 1}, {1, 2, 1}, {2, 3, 1}, {3, 4, 1}, {5, 6, 1}, {6, 7, 1}, {7, 8, 1}, {6, 3, 0.3F}},
      {{0, 1, 2, 3, 4}, {5, 6, 7, 8}});
  // The skip 0→2 scores best, but 0→1→2 is longer and above the adding cut.
  add("the way through the middle", 4, {{0, 1, 0.7F}, {0, 2, 0.99F}, {1, 2, 0.7F}, {2, 3, 0.9F}}, {{0, 1, 2, 3}});
  add("0.5 is neither best nor above 0.6", 4, {{0, 1, 0.5F}, {0, 2, 0.99F}, {1, 2, 0.5F}, {2, 3, 0.9F}}, {{0, 2, 3}});
  // 0→1→2→3→9 with a second hit 4 beside 1 and 5 beside 3; 6→7→10→11 is joined to it by 7→2 and keeps its own.
  add("second hits of overlaps go along", 12,
      {{0, 1, 0.9F},
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
       {7, 2, 0.7F}},
      {{0, 1, 4, 2, 3, 5, 9}, {6, 7, 10, 11}});
  add("ties of scores go to the smaller hit", 6, {{0, 1, 0.9F}, {1, 5, 0.5F}, {1, 4, 0.5F}, {1, 3, 0.5F}, {2, 1, 0.5F}},
      {{0, 1, 3}});
  add("of equal lengths the better scored goes first", 5, {{0, 1, 0.9F}, {1, 3, 0.4F}, {1, 4, 0.5F}, {2, 1, 0.5F}},
      {{0, 1, 4}});
}

inline std::vector<Case> table() {
  std::vector<Case> cases;
  add_chain_cases(cases);
  add_order_cases(cases);
  add_edge_cases(cases);
  add_walk_cases(cases);
  return cases;
}

/// What random graphs are like.
struct RandomGraph {
  std::int32_t nodes, edges;
  std::int32_t reach = 5;  ///< edges go from a node to one of the next so many
  int scores = 9;          ///< different scores, so that ties are common; 0 = any
  double faults = 0.05;    ///< of the edges: to the node itself, back, repeated, or with a score that is no number
};

/// A graph whose nodes are numbered at random, with layers, triplets and an order of its own; all from the seed.
inline Case random_case(const RandomGraph& shape, std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](std::int32_t n) {
    return static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(n));
  };
  const auto permutation = [&] {
    std::vector<std::int32_t> order(static_cast<std::size_t>(shape.nodes));
    for (std::int32_t v = 0; v < shape.nodes; ++v) order[v] = v;
    std::shuffle(order.begin(), order.end(), random);
    return order;
  };
  Case result{"seed " + std::to_string(seed), {}, true, {}, {}, {}};
  HitGraph& graph = result.graph;
  const std::vector<std::int32_t> outwards = permutation();
  const std::int32_t layers = 1 + below(12);
  std::vector<std::pair<std::int32_t, float>> nodes(outwards.size());
  for (std::int32_t i = 0; i < shape.nodes; ++i) {
    // Radii rise along the order but for some, and some are equal.
    nodes[outwards[i]] = {i % layers - 1, static_cast<float>((i + below(3)) / 2) / 8};
  }
  Pairs edges;
  for (std::int32_t e = 0; e < shape.edges; ++e) {
    const std::int32_t a = below(shape.nodes), b = std::min(shape.nodes - 1, a + 1 + below(shape.reach));
    edges.emplace_back(outwards[a], outwards[b]);
    result.scores.push_back(shape.scores > 0 ? static_cast<float>(below(shape.scores)) / 8
                                             : static_cast<float>(random()) / 4294967296.F);
    if (below(1000) >= static_cast<std::int32_t>(1000 * shape.faults)) continue;
    switch (below(4)) {
      case 0:
        edges.back().second = edges.back().first;
        break;
      case 1:
        std::swap(edges.back().first, edges.back().second);
        break;
      case 2:
        edges.back() = edges[below(e + 1)];
        break;
      default:
        result.scores.back() = std::numeric_limits<float>::quiet_NaN();
    }
  }
  Pairs triplets;
  Csr from = group_edges(
      [&] {
        std::vector<std::int32_t> src;
        for (const auto& edge : edges) src.push_back(edge.first);
        return src;
      }(),
      shape.nodes);
  for (std::int32_t ab = 0; ab < shape.edges; ++ab) {
    for (std::int32_t i = from.row_splits[edges[ab].second]; i < from.row_splits[edges[ab].second + 1]; ++i) {
      if (below(3) > 0) triplets.emplace_back(ab, from.edges[i]);
    }
  }
  graph = layered_graph(nodes, edges, triplets);
  graph.order = permutation();
  result.cuts = chains(below(3) > 0 ? below(9) : 0, 1 + below(4));
  result.cuts.builder = static_cast<TrackBuilder>(seed % 3);
  result.layered = seed % 2 == 0;
  return result;
}

}  // namespace starling::tracks_cases
