#include "starling/hit_graph.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hit_graph/doublets.h"
#include "hit_graph/layout.h"
#include "hit_graph/overlaps.h"
#include "hit_graph/triplets.h"
#include "hit_graph/windows.h"

namespace starling {
namespace {

struct Edge {
  std::int32_t src, dst;  ///< hits
};

/// The doublets that are on a triplet.
std::vector<Edge> find_edges(const HitLayout& layout, const Windows::Content& windows) {
  const Doublets doublets = find_doublets(layout, windows);
  const auto kept = on_triplets(layout, windows, doublets);
  std::vector<Edge> edges;
  for (std::size_t e = 0; e < kept.size(); ++e) {
    if (!kept[e]) continue;
    edges.push_back(
        {layout.hit[static_cast<std::size_t>(doublets.src[e])], layout.hit[static_cast<std::size_t>(doublets.dst[e])]});
  }
  return edges;
}

/// Adds the overlaps of which a hit is on one of `edges`.
void add_overlaps(const HitLayout& layout, const Hits& hits, const Windows::Content& windows,
                  std::vector<Edge>& edges) {
  if (!windows.has_overlaps()) return;
  std::vector<std::uint8_t> on_edge(static_cast<std::size_t>(hits.size()), 0);
  for (const Edge& edge : edges) {
    on_edge[static_cast<std::size_t>(edge.src)] = on_edge[static_cast<std::size_t>(edge.dst)] = 1;
  }
  for (std::int32_t source = 0; source < layout.size(); ++source) {
    const std::int32_t src = layout.hit[static_cast<std::size_t>(source)];
    for_each_overlap(layout, hits, windows, source, [&](std::int32_t b, const OverlapFit&) {
      const std::int32_t dst = layout.hit[static_cast<std::size_t>(b)];
      if (on_edge[static_cast<std::size_t>(src)] || on_edge[static_cast<std::size_t>(dst)]) edges.push_back({src, dst});
    });
  }
}

EdgeList sort_edges(const std::vector<Edge>& unsorted, std::int32_t num_hits) {
  EdgeList edges;
  edges.num_nodes = num_hits;
  std::vector<std::int32_t> next(static_cast<std::size_t>(num_hits) + 1, 0);
  for (const Edge& edge : unsorted) ++next[static_cast<std::size_t>(edge.src) + 1];
  for (std::size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  edges.src.resize(unsorted.size());
  edges.dst.resize(unsorted.size());
  for (const Edge& edge : unsorted) {
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(edge.src)]++);
    edges.src[at] = edge.src;
    edges.dst[at] = edge.dst;
  }
  auto row = edges.dst.begin();
  for (std::size_t i = 0; i < static_cast<std::size_t>(num_hits); ++i) {  // next[i] is now the end of row i
    const auto end = edges.dst.begin() + next[i];
    std::sort(row, end);
    row = end;
  }
  return edges;
}

}  // namespace

HitGraph build_hit_graph(const Hits& hits, const Windows& windows, const FeatureScales& scales) {
  const Windows::Content& content = windows.content();
  HitGraph graph;
  {
    const HitLayout layout(hits, content);
    auto edges = find_edges(layout, content);
    add_overlaps(layout, hits, content, edges);
    graph.edges = sort_edges(edges, hits.size());
    graph.hits_outside = layout.outside;
  }
  graph.node_features = node_features(hits, scales);
  graph.edge_features = edge_features(graph.node_features, graph.edges, scales);
  return graph;
}

}  // namespace starling
