#include "tracks/adjacency.h"

#include <algorithm>
#include <numeric>

namespace starling {

Adjacency::Adjacency(const EdgeListView& edges, std::span<const float> scores, std::span<const std::uint8_t> keep) {
  const auto used = [&](std::size_t e) { return keep[e] && edges.src[e] != edges.dst[e]; };
  const auto group = [&](std::span<const std::int32_t> here, std::span<const std::int32_t> there,
                         std::vector<std::int32_t>& splits, std::vector<Link>& links) {
    splits.assign(static_cast<std::size_t>(edges.num_nodes) + 1, 0);
    for (std::size_t e = 0; e < here.size(); ++e) {
      if (used(e)) ++splits[here[e] + 1];
    }
    std::partial_sum(splits.begin(), splits.end(), splits.begin());
    links.resize(splits.back());
    std::vector<std::int32_t> next(splits.begin(), splits.end() - 1);
    for (std::size_t e = 0; e < here.size(); ++e) {
      if (used(e)) links[next[here[e]]++] = {there[e], scores[e]};
    }
  };
  group(edges.src, edges.dst, out_splits_, out_links_);
  group(edges.dst, edges.src, in_splits_, in_links_);
}

std::vector<std::int32_t> outward_order(const Adjacency& graph) {
  const std::int32_t num_nodes = graph.num_nodes();
  std::vector<std::int32_t> waiting(num_nodes), level(num_nodes, 0), ready;
  std::vector<std::uint8_t> taken(num_nodes, 0);
  ready.reserve(num_nodes);
  for (std::int32_t v = 0; v < num_nodes; ++v) {
    waiting[v] = static_cast<std::int32_t>(graph.in(v).size());
    if (waiting[v] == 0) {
      ready.push_back(v);
      taken[v] = 1;
    }
  }
  std::int32_t highest = 0, first_waiting = 0;
  for (std::size_t i = 0; static_cast<std::int32_t>(i) < num_nodes; ++i) {
    if (i == ready.size()) {
      while (taken[first_waiting]) ++first_waiting;
      ready.push_back(first_waiting);
      taken[first_waiting] = 1;
    }
    const std::int32_t v = ready[i];
    highest = std::max(highest, level[v]);
    for (const Adjacency::Link& link : graph.out(v)) {
      if (taken[link.node]) continue;
      level[link.node] = std::max(level[link.node], level[v] + 1);
      if (--waiting[link.node] == 0) {
        ready.push_back(link.node);
        taken[link.node] = 1;
      }
    }
  }

  std::vector<std::int32_t> place(static_cast<std::size_t>(highest) + 2, 0), order(num_nodes);
  for (const std::int32_t l : level) ++place[l + 1];
  std::partial_sum(place.begin(), place.end(), place.begin());
  for (std::int32_t v = 0; v < num_nodes; ++v) order[place[level[v]]++] = v;
  return order;
}

}  // namespace starling
