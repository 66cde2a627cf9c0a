#include "starling/hit_graph.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "hit_graph/check.h"
#include "hit_graph/doublets.h"
#include "hit_graph/features.h"
#include "hit_graph/layout.h"
#include "hit_graph/limits.h"
#include "hit_graph/overlaps.h"
#include "hit_graph/triplets.h"
#include "hit_graph/windows.h"

namespace starling {
namespace {

using Tiles = std::vector<std::vector<Triplet>>;

/// An edge by the indices of its hits, and the doublet that it is; −1 = an overlap.
struct Edge {
  std::int32_t src, dst, doublet;
};

/// The doublets that are on a triplet.
std::vector<Edge> find_edges(const HitLayout& layout, const Doublets& doublets, const Tiles& triplets) {
  std::vector<std::uint8_t> kept(static_cast<std::size_t>(doublets.size()), 0);
  for (const auto& tile : triplets) {
    for (const Triplet& triplet : tile) kept[triplet.first] = kept[triplet.second] = 1;
  }
  std::vector<Edge> edges;
  for (std::int32_t doublet = 0; doublet < doublets.size(); ++doublet) {
    if (kept[doublet]) {
      edges.push_back({layout.hit[doublets.src[doublet]], layout.hit[doublets.dst[doublet]], doublet});
    }
  }
  return edges;
}

/// Adds the overlaps of which a hit is on one of `edges`.
void add_overlaps(const HitLayout& layout, const Windows::Content& windows, std::vector<Edge>& edges) {
  if (!windows.has_overlaps()) return;
  std::vector<std::uint8_t> on_edge(layout.layer_of_hit.size(), 0);
  for (const Edge& edge : edges) on_edge[edge.src] = on_edge[edge.dst] = 1;
  for (std::int32_t position = 0; position < layout.size(); ++position) {
    const std::int32_t hit = layout.hit[position];
    if (!on_edge[hit]) continue;
    for_each_overlap(layout, windows, position, [&](std::int32_t b, bool starts, const OverlapFit&) {
      const std::int32_t other = layout.hit[b];
      if (starts) {
        edges.push_back({hit, other, -1});
      } else if (!on_edge[other]) {  // else it is found from there
        edges.push_back({other, hit, -1});
      }
      if (std::ssize(edges) > kMostEdges) refuse_edges(layout.size());
    });
  }
}

/// Sorts edges by (src, dst) into `edges`. Gives the edge that each doublet is; defined for those on an edge.
std::vector<std::int32_t> sort_edges(const std::vector<Edge>& unsorted, std::int32_t num_hits, std::int32_t doublets,
                                     EdgeList& edges) {
  std::vector<std::int32_t> next(static_cast<std::size_t>(num_hits) + 1, 0);
  for (const Edge& edge : unsorted) ++next[edge.src + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<Edge> sorted(unsorted.size());
  for (const Edge& edge : unsorted) sorted[next[edge.src]++] = edge;
  auto row = sorted.begin();
  for (std::int32_t hit = 0; hit < num_hits; ++hit) {  // next[hit] is now the end of its row
    const auto end = sorted.begin() + next[hit];
    std::sort(row, end, [](const Edge& a, const Edge& b) { return a.dst < b.dst; });
    row = end;
  }
  edges.num_nodes = num_hits;
  edges.src.resize(sorted.size());
  edges.dst.resize(sorted.size());
  std::vector<std::int32_t> edge_of(static_cast<std::size_t>(doublets));
  for (std::size_t e = 0; e < sorted.size(); ++e) {
    edges.src[e] = sorted[e].src;
    edges.dst[e] = sorted[e].dst;
    if (sorted[e].doublet >= 0) edge_of[sorted[e].doublet] = static_cast<std::int32_t>(e);
  }
  return edge_of;
}

void group_triplets(const Tiles& triplets, const std::vector<std::int32_t>& edge_of, std::size_t edges, Csr& grouped) {
  grouped.row_splits.assign(edges + 1, 0);
  for (const auto& tile : triplets) {
    for (const Triplet& triplet : tile) ++grouped.row_splits[edge_of[triplet.first] + 1];
  }
  std::partial_sum(grouped.row_splits.begin(), grouped.row_splits.end(), grouped.row_splits.begin());
  grouped.edges.resize(static_cast<std::size_t>(grouped.row_splits.back()));
  std::vector<std::int32_t> next(grouped.row_splits.begin(), grouped.row_splits.end() - 1);
  for (const auto& tile : triplets) {
    for (const Triplet& triplet : tile) grouped.edges[next[edge_of[triplet.first]]++] = edge_of[triplet.second];
  }
  auto row = grouped.edges.begin();
  for (const std::int32_t end : next) {
    std::sort(row, grouped.edges.begin() + end);
    row = grouped.edges.begin() + end;
  }
}

}  // namespace

void build_hit_graph(const HitsView& hits, const Windows& windows, const FeatureScales& scales, HitGraph& graph) {
  check_scales(scales, "build_hit_graph");
  const Windows::Content& content = windows.content();
  {
    HitLayout layout(hits, content);
    const Doublets doublets = find_doublets(layout, content);
    const Tiles triplets = find_triplets(layout, content, doublets);
    std::vector<Edge> edges = find_edges(layout, doublets, triplets);
    add_overlaps(layout, content, edges);
    const std::vector<std::int32_t> edge_of = sort_edges(edges, hits.size(), doublets.size(), graph.edges);
    group_triplets(triplets, edge_of, edges.size(), graph.triplets);
    graph.hits_outside = static_cast<std::int32_t>(layout.outside.size());
    graph.layer.swap(layout.layer_of_hit);
    graph.order.assign(layout.hit.begin(), layout.hit.end());
    graph.order.insert(graph.order.end(), layout.outside.begin(), layout.outside.end());
    graph.node_features.resize(static_cast<std::size_t>(hits.size()) * kNodeFeatures);
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, layout.radius.size(), 4096), [&](const auto& range) {
      for (std::size_t i = range.begin(); i < range.end(); ++i) {
        fill_node_features(layout.radius[i], layout.angle[i], hits.z[i], scales,
                           graph.node_features.data() + i * kNodeFeatures);
      }
    });
  }
  graph.edge_features.resize(static_cast<std::size_t>(graph.edges.size()) * kEdgeFeatures);
  edge_features(graph.node_features, graph.edges, scales, graph.edge_features);
}

HitGraph build_hit_graph(const HitsView& hits, const Windows& windows, const FeatureScales& scales) {
  HitGraph graph;
  build_hit_graph(hits, windows, scales, graph);
  return graph;
}

}  // namespace starling
