#include "starling/tracks.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "starling/config.h"
#include "starling/error.h"
#include "starling/hit_graph.h"
#include "tracks/adjacency.h"
#include "tracks/walkthrough.h"

namespace starling {
namespace {

const std::map<std::string, TrackBuilder> kBuilders = {{"components", TrackBuilder::components},
                                                       {"walkthrough", TrackBuilder::walkthrough},
                                                       {"junction_removal", TrackBuilder::junction_removal}};

using Lists = std::vector<std::vector<std::int32_t>>;

void check(const EdgeList& edges, std::span<const float> scores) {
  if (edges.src.size() != edges.dst.size() || edges.src.size() != scores.size()) {
    throw Error(ErrorKind::usage, "build_tracks: " + std::to_string(edges.src.size()) + " src, " +
                                      std::to_string(edges.dst.size()) + " dst and " + std::to_string(scores.size()) +
                                      " scores; expected as many of each");
  }
  for (std::size_t e = 0; e < edges.src.size(); ++e) {
    for (const std::int32_t end : {edges.src[e], edges.dst[e]}) {
      if (end < 0 || end >= edges.num_nodes) {
        throw Error(ErrorKind::usage, "build_tracks: edge " + std::to_string(e) + " has the end " +
                                          std::to_string(end) + "; expected 0.." + std::to_string(edges.num_nodes - 1));
      }
    }
  }
}

std::vector<std::uint8_t> above(std::span<const float> scores, float cut) {
  std::vector<std::uint8_t> keep(scores.size());
  for (std::size_t e = 0; e < scores.size(); ++e) keep[e] = scores[e] >= cut;
  return keep;
}

// Keeps an edge where it is the best outgoing edge of its src and the best incoming edge of its dst.
void remove_junctions(const EdgeList& edges, std::span<const float> scores, std::vector<std::uint8_t>& keep) {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> best_out(edges.num_nodes, kNone), best_in(edges.num_nodes, kNone);
  const auto take = [&](std::size_t& best, std::size_t e, const std::vector<std::int32_t>& other_end) {
    if (best == kNone || scores[e] > scores[best] || (scores[e] == scores[best] && other_end[e] < other_end[best])) {
      best = e;
    }
  };
  for (std::size_t e = 0; e < keep.size(); ++e) {
    if (!keep[e] || edges.src[e] == edges.dst[e]) continue;
    take(best_out[edges.src[e]], e, edges.dst);
    take(best_in[edges.dst[e]], e, edges.src);
  }
  for (std::size_t e = 0; e < keep.size(); ++e) {
    keep[e] = keep[e] && best_out[edges.src[e]] == e && best_in[edges.dst[e]] == e;
  }
}

// The smallest node of each node's component.
std::vector<std::int32_t> component_of(const Adjacency& graph) {
  std::vector<std::int32_t> parent(graph.num_nodes());
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](std::int32_t v) {
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
  };
  for (std::int32_t v = 0; v < graph.num_nodes(); ++v) {
    for (const Adjacency::Link& link : graph.out(v)) {
      const auto [low, high] = std::minmax({root(v), root(link.node)});
      parent[high] = low;
    }
  }
  for (std::int32_t v = 0; v < graph.num_nodes(); ++v) parent[v] = root(v);
  return parent;
}

// The components with at least `min_hits` hits, of those that `wanted` (a flag a component) names, hits outwards.
Lists components(std::span<const std::int32_t> component, std::span<const std::int32_t> order,
                 std::span<const std::uint8_t> wanted, int min_hits) {
  std::vector<std::int32_t> size(component.size(), 0), list_of(component.size(), -1);
  for (const std::int32_t c : component) ++size[c];
  Lists lists;
  for (const std::int32_t v : order) {
    const std::int32_t c = component[v];
    if (!wanted[c] || size[c] < min_hits) continue;
    if (list_of[c] < 0) {
      list_of[c] = static_cast<std::int32_t>(lists.size());
      lists.emplace_back().reserve(size[c]);
    }
    lists[list_of[c]].push_back(v);
  }
  return lists;
}

Lists all_components(const Adjacency& graph, int min_hits) {
  return components(component_of(graph), outward_order(graph), std::vector<std::uint8_t>(graph.num_nodes(), 1),
                    min_hits);
}

Lists walkthrough(const Adjacency& graph, const TrackCuts& cuts) {
  const std::vector<std::int32_t> component = component_of(graph), order = outward_order(graph);
  std::vector<std::uint8_t> simple(graph.num_nodes(), 1), walkable(graph.num_nodes());
  for (std::int32_t v = 0; v < graph.num_nodes(); ++v) {
    if (graph.degree(v) > 2) simple[component[v]] = 0;
  }
  for (std::int32_t v = 0; v < graph.num_nodes(); ++v) walkable[v] = !simple[component[v]];
  Lists lists = components(component, order, simple, cuts.min_hits);
  for (auto& path : walk(graph, order, walkable, cuts.walk_add, cuts.min_hits)) lists.push_back(std::move(path));
  return lists;
}

Tracks pack(const Lists& lists) {
  std::vector<std::pair<std::int32_t, std::size_t>> by_first;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    by_first.emplace_back(*std::min_element(lists[i].begin(), lists[i].end()), i);
  }
  std::sort(by_first.begin(), by_first.end());
  Tracks tracks;
  for (const auto& [first, i] : by_first) {
    tracks.hits.insert(tracks.hits.end(), lists[i].begin(), lists[i].end());
    tracks.row_splits.push_back(static_cast<std::int32_t>(tracks.hits.size()));
  }
  return tracks;
}

}  // namespace

TrackCuts read_track_cuts(Config& config) {
  TrackCuts cuts;
  std::string builder = to_string(cuts.builder);
  std::vector<std::string> names;
  for (const auto& [name, value] : kBuilders) names.push_back(name);
  config.get("tracks.builder", builder, names);
  cuts.builder = parse_track_builder(builder);
  config.get("tracks.score", cuts.score, 0, 1);
  config.get("tracks.walk_min", cuts.walk_min, 0, 1);
  config.get("tracks.walk_add", cuts.walk_add, 0, 1);
  config.get("tracks.min_hits", cuts.min_hits, 1, 1000);
  config.get("tracks.chain_layers", cuts.chain_layers, 0, 1000);
  return cuts;
}

TrackBuilder parse_track_builder(const std::string& name) {
  const auto place = kBuilders.find(name);
  if (place != kBuilders.end()) return place->second;
  throw Error(ErrorKind::usage, "track builder '" + name + "': expected components, walkthrough or junction_removal");
}

std::string to_string(TrackBuilder builder) {
  for (const auto& [name, value] : kBuilders) {
    if (value == builder) return name;
  }
  throw Error(ErrorKind::internal, "unknown track builder");
}

Tracks build_tracks(const EdgeList& edges, std::span<const float> scores, const TrackCuts& cuts) {
  check(edges, scores);
  const int min_hits = std::max(cuts.min_hits, 1);
  if (cuts.builder == TrackBuilder::walkthrough) {
    TrackCuts walk_cuts = cuts;
    walk_cuts.min_hits = min_hits;
    return pack(walkthrough(Adjacency(edges, scores, above(scores, cuts.walk_min)), walk_cuts));
  }
  std::vector<std::uint8_t> keep = above(scores, cuts.score);
  if (cuts.builder == TrackBuilder::junction_removal) remove_junctions(edges, scores, keep);
  return pack(all_components(Adjacency(edges, scores, keep), min_hits));
}

Tracks build_tracks(const HitGraph& graph, std::span<const float> scores, const TrackCuts& cuts, const Hits& hits,
                    const Windows& windows) {
  if (hits.size() != graph.edges.num_nodes) {
    throw Error(ErrorKind::usage, "build_tracks: " + std::to_string(hits.size()) + " hits, expected the graph's " +
                                      std::to_string(graph.edges.num_nodes));
  }
  const Tracks candidates = build_tracks(graph.edges, scores, cuts);
  if (cuts.chain_layers == 0) return candidates;
  Tracks tracks;
  for (std::int32_t t = 0; t < candidates.size(); ++t) {
    const std::span<const std::int32_t> track{candidates.hits.data() + candidates.row_splits[t],
                                              candidates.hits.data() + candidates.row_splits[t + 1]};
    const Chain chain = find_chain(hits, track, windows);
    if (chain.layers <= cuts.chain_layers && !chain.whole) continue;
    tracks.hits.insert(tracks.hits.end(), track.begin(), track.end());
    tracks.row_splits.push_back(static_cast<std::int32_t>(tracks.hits.size()));
  }
  return tracks;
}

std::vector<std::int32_t> Tracks::track_of_hit(std::int32_t num_hits) const {
  std::vector<std::int32_t> track(num_hits, -1);
  for (std::int32_t t = 0; t < size(); ++t) {
    for (std::int32_t i = row_splits[t]; i < row_splits[t + 1]; ++i) track[hits[i]] = t;
  }
  return track;
}

Tracks tracks_from_labels(std::span<const std::int32_t> track_of_hit) {
  std::map<std::int32_t, std::size_t> list_of_label;
  Lists lists;
  for (std::size_t hit = 0; hit < track_of_hit.size(); ++hit) {
    if (track_of_hit[hit] == -1) continue;
    const auto [place, added] = list_of_label.try_emplace(track_of_hit[hit], lists.size());
    if (added) lists.emplace_back();
    lists[place->second].push_back(static_cast<std::int32_t>(hit));
  }
  return pack(lists);
}

}  // namespace starling
