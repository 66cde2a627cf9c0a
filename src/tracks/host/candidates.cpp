#include "tracks/host/candidates.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

#include "tracks/walk.h"

namespace starling::tracks::host {
namespace {

// Edges that take part, under the numbers of the nodes.
struct KeptEdges {
  std::vector<Link> links;
  std::vector<std::int32_t> first_out, degree;

  explicit KeptEdges(std::int32_t num_nodes) : first_out(num_nodes, -1), degree(num_nodes, 0) {}
  void add(std::int32_t src, std::int32_t dst, float score) {
    links.push_back({src, dst, first_out[src], score});
    first_out[src] = static_cast<std::int32_t>(links.size()) - 1;
    ++degree[src];
    ++degree[dst];
  }
};

// Drops each edge that is not both the best one out of its src and the best one into its dst.
std::vector<Link> without_junctions(const std::vector<Link>& links, std::int32_t num_nodes) {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> best_out(num_nodes, kNone), best_in(num_nodes, kNone);
  const auto take = [&](std::size_t& best, std::size_t e, std::int32_t Link::*other_end) {
    if (best == kNone || links[e].score > links[best].score ||
        (links[e].score == links[best].score && links[e].*other_end < links[best].*other_end)) {
      best = e;
    }
  };
  for (std::size_t e = 0; e < links.size(); ++e) {
    take(best_out[links[e].src], e, &Link::dst);
    take(best_in[links[e].dst], e, &Link::src);
  }
  std::vector<Link> kept;
  for (std::size_t e = 0; e < links.size(); ++e) {
    if (best_out[links[e].src] == e && best_in[links[e].dst] == e) kept.push_back(links[e]);
  }
  return kept;
}

KeptEdges kept_edges(const EdgeListView& edges, std::span<const float> scores, const TrackCuts& cuts,
                     std::span<const std::int32_t> rank) {
  const float cut = cuts.builder == TrackBuilder::walkthrough ? cuts.walk_min : cuts.score;
  KeptEdges kept(edges.num_nodes);
  const auto number = [&](std::int32_t node) { return rank.empty() ? node : rank[node]; };
  std::vector<Link> before;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    if (!(scores[e] >= cut) || edges.src[e] == edges.dst[e]) continue;
    const std::int32_t src = number(edges.src[e]), dst = number(edges.dst[e]);
    if (cuts.builder == TrackBuilder::junction_removal) {
      before.push_back({src, dst, -1, scores[e]});
    } else {
      kept.add(src, dst, scores[e]);
    }
  }
  for (const Link& link : without_junctions(before, edges.num_nodes)) kept.add(link.src, link.dst, link.score);
  return kept;
}

// The smallest node of each node's component.
std::vector<std::int32_t> component_of(const KeptEdges& kept) {
  std::vector<std::int32_t> parent(kept.first_out.size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](std::int32_t v) {
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
  };
  for (const Link& link : kept.links) {
    const auto [low, high] = std::minmax({root(link.src), root(link.dst)});
    parent[high] = low;
  }
  for (std::int32_t& v : parent) v = root(v);
  return parent;
}

// The components of at least `min_hits` nodes, which ascend; components stand by their smallest node.
Candidates components(const KeptEdges& kept, int min_hits) {
  const std::vector<std::int32_t> component = component_of(kept);
  std::vector<std::int32_t> size(component.size(), 0), next(component.size(), -1);
  for (const std::int32_t c : component) ++size[c];
  Candidates all;
  for (std::size_t c = 0; c < size.size(); ++c) {
    if (size[c] < min_hits) continue;
    next[c] = all.row_splits.back();
    all.row_splits.push_back(next[c] + size[c]);
  }
  all.nodes.resize(all.row_splits.back());
  for (std::size_t v = 0; v < component.size(); ++v) {
    std::int32_t& place = next[component[v]];
    if (place >= 0) all.nodes[place++] = static_cast<std::int32_t>(v);
  }
  return all;
}

}  // namespace

Candidates find_candidates(const EdgeListView& edges, std::span<const float> scores, const TrackCuts& cuts,
                           std::span<const std::int32_t> rank, bool outwards) {
  const int min_hits = std::max(cuts.min_hits, 1);
  const KeptEdges kept = kept_edges(edges, scores, cuts, rank);
  const Candidates all = components(kept, min_hits);
  if (cuts.builder != TrackBuilder::walkthrough && !outwards) return all;

  std::int32_t largest = 0;
  for (std::size_t c = 1; c < all.row_splits.size(); ++c) {
    largest = std::max(largest, all.row_splits[c] - all.row_splits[c - 1]);
  }
  // Written for the nodes of a component before they are read.
  const auto nodes = std::make_unique_for_overwrite<WalkNode[]>(kept.first_out.size());
  std::vector<std::int32_t> next_in(kept.links.size()), starts(largest), stale(largest), order(largest), ends(largest);
  Walk walk{kept.links.data(), kept.first_out.data(), next_in.data(), nodes.get(), starts.data(), stale.data(), 0, 0,
            cuts.walk_add};
  Candidates found;
  for (std::size_t c = 1; c < all.row_splits.size(); ++c) {
    const std::int32_t begin = all.row_splits[c - 1], size = all.row_splits[c] - begin;
    const std::span<const std::int32_t> component = std::span(all.nodes).subspan(begin, size);
    const bool walked = cuts.builder == TrackBuilder::walkthrough &&
                        std::any_of(component.begin(), component.end(), [&](auto v) { return kept.degree[v] > 2; });
    if (!walked && !outwards) {
      found.nodes.insert(found.nodes.end(), component.begin(), component.end());
      found.row_splits.push_back(static_cast<std::int32_t>(found.nodes.size()));
      continue;
    }
    outward_order(walk, component.data(), size, order.data());
    std::int32_t count = 1;
    ends[0] = size;
    if (walked) count = walk_paths(walk, order.data(), size, min_hits, order.data(), ends.data());
    for (std::int32_t i = 0; i < count; ++i) {
      const auto first = order.begin() + (i == 0 ? 0 : ends[i - 1]), last = order.begin() + ends[i];
      if (walked && outwards) {
        std::sort(first, last, [&](std::int32_t a, std::int32_t b) { return further_in(walk, a, b); });
      }
      found.nodes.insert(found.nodes.end(), first, last);
      found.row_splits.push_back(static_cast<std::int32_t>(found.nodes.size()));
    }
  }
  return found;
}

}  // namespace starling::tracks::host
