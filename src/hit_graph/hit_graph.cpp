#include "starling/hit_graph.h"

#include <algorithm>
#include <cstddef>

#include "hit_graph/doublets.h"
#include "hit_graph/layout.h"
#include "hit_graph/triplets.h"
#include "hit_graph/windows.h"

namespace starling {
namespace {

/// The kept doublets as edges between hits, sorted by (src, dst).
EdgeList make_edges(const HitLayout& layout, const Doublets& doublets, const std::vector<std::uint8_t>& kept,
                    std::int32_t num_hits) {
  EdgeList edges;
  edges.num_nodes = num_hits;
  std::vector<std::int32_t> next(static_cast<std::size_t>(num_hits) + 1, 0);
  for (std::size_t e = 0; e < kept.size(); ++e) {
    if (kept[e]) ++next[static_cast<std::size_t>(layout.hit[static_cast<std::size_t>(doublets.src[e])]) + 1];
  }
  for (std::size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  edges.src.resize(static_cast<std::size_t>(next.back()));
  edges.dst.resize(edges.src.size());
  for (std::size_t e = 0; e < kept.size(); ++e) {
    if (!kept[e]) continue;
    const std::int32_t src = layout.hit[static_cast<std::size_t>(doublets.src[e])];
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(src)]++);
    edges.src[at] = src;
    edges.dst[at] = layout.hit[static_cast<std::size_t>(doublets.dst[e])];
  }
  std::size_t row = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(num_hits); ++i) {  // next[i] is now the end of row i
    const auto end = static_cast<std::size_t>(next[i]);
    std::sort(edges.dst.begin() + static_cast<std::ptrdiff_t>(row),
              edges.dst.begin() + static_cast<std::ptrdiff_t>(end));
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
    const Doublets doublets = find_doublets(layout, content);
    const auto kept = on_triplets(layout, content, doublets);
    graph.edges = make_edges(layout, doublets, kept, hits.size());
    graph.hits_outside = layout.outside;
  }
  graph.node_features = node_features(hits, scales);
  graph.edge_features = edge_features(graph.node_features, graph.edges, scales);
  return graph;
}

}  // namespace starling
