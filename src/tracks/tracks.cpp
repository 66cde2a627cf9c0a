#include "starling/tracks.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <string>

#include "memory/arguments.h"
#include "memory/layout.h"
#include "starling/config.h"
#include "starling/error.h"
#include "starling/hit_graph.h"
#include "tracks/backends.h"
#include "tracks/host/candidates.h"
#include "tracks/host/layers.h"

namespace starling {
namespace {

const std::map<std::string, TrackBuilder> kBuilders = {{"components", TrackBuilder::components},
                                                       {"walkthrough", TrackBuilder::walkthrough},
                                                       {"junction_removal", TrackBuilder::junction_removal}};

constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

using tracks::host::Candidates;

void check_scores(std::span<const float> scores, std::int64_t edges) {
  if (static_cast<std::int64_t>(scores.size()) != edges) {
    throw Error(ErrorKind::usage, "build_tracks: " + std::to_string(scores.size()) +
                                      " scores, expected one per edge: " + std::to_string(edges));
  }
}

void check_size(const char* what, std::size_t size, std::size_t expected) {
  if (size != expected) {
    throw Error(ErrorKind::usage, std::string("build_tracks: ") + what + " has " + std::to_string(size) +
                                      " entries, expected " + std::to_string(expected));
  }
}

void check_sizes(const HitGraphView& graph) {
  const auto nodes = static_cast<std::size_t>(std::max(graph.edges.num_nodes, 0));
  check_size("node_features", graph.node_features.size(), nodes * kNodeFeatures);
  check_size("edge_features", graph.edge_features.size(), graph.edges.src.size() * kEdgeFeatures);
  check_size("layer", graph.layer.size(), nodes);
  check_size("order", graph.order.size(), nodes);
  check_size("triplet_splits", graph.triplet_splits.size(), graph.edges.src.size() + 1);
}

// Checks all that is read of the graph but its `order`.
void check(const HitGraphView& graph) {
  graph.edges.check("build_tracks");
  check_sizes(graph);
  const std::int32_t* previous = &graph.triplet_splits.front();
  for (const std::int32_t& split : graph.triplet_splits) {
    if (split < *previous || *previous < 0) {
      throw Error(ErrorKind::usage, "build_tracks: triplet_splits falls to " + std::to_string(split) + " at entry " +
                                        std::to_string(&split - graph.triplet_splits.data()));
    }
    previous = &split;
  }
  check_size("triplets", graph.triplets.size(), static_cast<std::size_t>(graph.triplet_splits.back()));
  for (const std::int32_t edge : graph.triplets) {
    if (edge < 0 || edge >= graph.edges.size()) {
      throw Error(ErrorKind::usage, "build_tracks: a triplet goes on along edge " + std::to_string(edge) +
                                        ", expected 0.." + std::to_string(graph.edges.size() - 1));
    }
  }
  for (std::size_t e = 0; e < graph.edges.src.size(); ++e) {
    for (std::int32_t i = graph.triplet_splits[e]; i < graph.triplet_splits[e + 1]; ++i) {
      if (graph.edges.src[graph.triplets[i]] == graph.edges.dst[e]) continue;
      throw Error(ErrorKind::usage, "build_tracks: the edges " + std::to_string(e) + " and " +
                                        std::to_string(graph.triplets[i]) + " of a triplet do not meet");
    }
  }
}

// The place of each node in `order`.
std::vector<std::int32_t> ranks(std::span<const std::int32_t> order) {
  std::vector<std::int32_t> rank(order.size(), -1);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int32_t node = order[i];
    if (node < 0 || static_cast<std::size_t>(node) >= order.size() || rank[node] >= 0) {
      throw Error(ErrorKind::usage, "build_tracks: order holds " + std::to_string(node) + " at entry " +
                                        std::to_string(i) + ", expected each of 0.." +
                                        std::to_string(order.size() - 1) + " once");
    }
    rank[node] = static_cast<std::int32_t>(i);
  }
  return rank;
}

// Lists of hits as tracks, ordered by their smallest hit.
Tracks pack(std::span<const std::int32_t> row_splits, std::span<const std::int32_t> hits) {
  std::vector<std::pair<std::int32_t, std::size_t>> by_first;
  for (std::size_t i = 1; i < row_splits.size(); ++i) {
    by_first.emplace_back(*std::min_element(hits.begin() + row_splits[i - 1], hits.begin() + row_splits[i]), i);
  }
  std::sort(by_first.begin(), by_first.end());
  Tracks tracks;
  tracks.hits.reserve(hits.size());
  tracks.row_splits.reserve(row_splits.size());
  for (const auto& [first, i] : by_first) {
    tracks.hits.insert(tracks.hits.end(), hits.begin() + row_splits[i - 1], hits.begin() + row_splits[i]);
    tracks.row_splits.push_back(static_cast<std::int32_t>(tracks.hits.size()));
  }
  return tracks;
}

std::size_t bytes(std::int32_t num_nodes, std::int64_t num_edges, const TrackCuts& cuts, const Execution& execution) {
  return execution.device == Device::cuda ? tracks::cuda::build_tracks_bytes(num_nodes, num_edges, cuts) : 0;
}

void check_lent(const EdgeListView& edges, const float* scores, const TrackCuts& cuts, const TracksMemory& tracks,
                std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "build_tracks";
  if (execution.device == Device::cuda) require_cuda();
  (void)to_string(cuts.builder);  // throws for one that is not known
  memory::check_count(function, "num_nodes", edges.num_nodes, 0, kMost);
  memory::check_count(function, "num_edges", edges.size(), 0, kMost);
  check_size("dst", edges.dst.size(), edges.src.size());
  memory::check_there(function, "scores", scores, edges.size());
  memory::check_there(function, "tracks.row_splits", tracks.row_splits, 1);
  memory::check_there(function, "tracks.hits", tracks.hits, edges.num_nodes);
  memory::check_there(function, "tracks.count", tracks.count, 1);
  memory::check_workspace(workspace, bytes(edges.num_nodes, edges.size(), cuts, execution), function);
}

void copy(const Tracks& from, const TracksMemory& to) {
  std::copy(from.row_splits.begin(), from.row_splits.end(), to.row_splits);
  std::copy(from.hits.begin(), from.hits.end(), to.hits);
  *to.count = from.size();
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
  throw Error(ErrorKind::usage, "track builder " + std::to_string(static_cast<int>(builder)) +
                                    ": expected components, walkthrough or junction_removal");
}

Tracks build_tracks(const EdgeListView& edges, std::span<const float> scores, const TrackCuts& cuts) {
  edges.check("build_tracks");
  check_scores(scores, edges.size());
  (void)to_string(cuts.builder);  // throws for one that is not known
  const Candidates found = tracks::host::find_candidates(edges, scores, cuts, {}, true);
  return pack(found.row_splits, found.nodes);
}

Tracks build_tracks(const HitGraphView& graph, std::span<const float> scores, const TrackCuts& cuts) {
  check(graph);
  check_scores(scores, graph.edges.size());
  (void)to_string(cuts.builder);  // throws for one that is not known
  // Nodes are numbered by their rank, so that ties are broken by it.
  const std::vector<std::int32_t> rank = ranks(graph.order);
  const Candidates found = tracks::host::find_candidates(graph.edges, scores, cuts, rank, false);
  tracks::host::LayeredTracks layered(graph, rank);
  Candidates kept;
  std::vector<std::int32_t> track;
  for (std::size_t c = 1; c < found.row_splits.size(); ++c) {
    track.clear();
    for (std::int32_t i = found.row_splits[c - 1]; i < found.row_splits[c]; ++i) {
      track.push_back(graph.order[found.nodes[i]]);
    }
    layered.sort_outwards(track);
    if (cuts.chain_layers > 0 && layered.count_layers(track) <= cuts.chain_layers && !layered.is_whole_chain(track)) {
      continue;
    }
    kept.nodes.insert(kept.nodes.end(), track.begin(), track.end());
    kept.row_splits.push_back(static_cast<std::int32_t>(kept.nodes.size()));
  }
  return pack(kept.row_splits, kept.nodes);
}

std::size_t build_tracks_bytes(std::int32_t num_nodes, std::int64_t num_edges, const TrackCuts& cuts,
                               const Execution& execution) {
  const char* const function = "build_tracks_bytes";
  if (execution.device == Device::cuda) require_cuda();
  (void)to_string(cuts.builder);  // throws for one that is not known
  memory::check_count(function, "num_nodes", num_nodes, 0, kMost);
  memory::check_count(function, "num_edges", num_edges, 0, kMost);
  return bytes(num_nodes, num_edges, cuts, execution);
}

void build_tracks(const HitGraphView& graph, const float* scores, const TrackCuts& cuts, const TracksMemory& tracks,
                  std::span<std::byte> workspace, const Execution& execution) {
  check_lent(graph.edges, scores, cuts, tracks, workspace, execution);
  if (execution.device == Device::cuda) {
    check_sizes(graph);
    tracks::cuda::build_tracks(graph.edges, &graph, scores, cuts, tracks, workspace, execution);
  } else {
    copy(build_tracks(graph, {scores, graph.edges.src.size()}, cuts), tracks);
  }
}

void build_tracks(const EdgeListView& edges, const float* scores, const TrackCuts& cuts, const TracksMemory& tracks,
                  std::span<std::byte> workspace, const Execution& execution) {
  check_lent(edges, scores, cuts, tracks, workspace, execution);
  if (execution.device == Device::cuda) {
    tracks::cuda::build_tracks(edges, nullptr, scores, cuts, tracks, workspace, execution);
  } else {
    copy(build_tracks(edges, {scores, edges.src.size()}, cuts), tracks);
  }
}

void TracksView::check(std::int32_t num_hits, const char* caller) const {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::usage, std::string(caller) + ": " + what);
  };
  if (num_hits < 0) refuse(std::to_string(num_hits) + " hits, expected 0 or more");
  const std::size_t last = row_splits.empty() ? 0 : static_cast<std::size_t>(row_splits.back());
  if (last != hits.size() || (!row_splits.empty() && row_splits.front() != 0)) {
    refuse("row splits of tracks do not go from 0 to the number of hits, " + std::to_string(hits.size()));
  }
  for (std::size_t t = 1; t < row_splits.size(); ++t) {
    if (row_splits[t] < row_splits[t - 1]) refuse("the row splits of track " + std::to_string(t - 1) + " fall");
  }
  for (std::size_t i = 0; i < hits.size(); ++i) {
    if (hits[i] < 0 || hits[i] >= num_hits) {
      refuse("entry " + std::to_string(i) + " of the tracks' hits is " + std::to_string(hits[i]) + ", expected 0.." +
             std::to_string(num_hits - 1));
    }
  }
  if (hits.empty()) return;
  std::vector<std::int32_t> last_track(static_cast<std::size_t>(num_hits), -1);  // of each hit
  for (std::int32_t t = 0; t < size(); ++t) {
    for (std::int32_t i = row_splits[t]; i < row_splits[t + 1]; ++i) {
      if (last_track[hits[i]] == t) {
        refuse("entry " + std::to_string(i) + " of the tracks' hits is " + std::to_string(hits[i]) +
               ", expected once on track " + std::to_string(t) + ", appears again");
      }
      last_track[hits[i]] = t;
    }
  }
}

std::vector<std::int32_t> TracksView::track_of_hit(std::int32_t num_hits) const {
  check(num_hits, "track_of_hit");
  std::vector<std::int32_t> track(num_hits, -1);
  for (std::int32_t t = 0; t < size(); ++t) {
    for (std::int32_t i = row_splits[t]; i < row_splits[t + 1]; ++i) track[hits[i]] = t;
  }
  return track;
}

Tracks tracks_from_labels(std::span<const std::int32_t> track_of_hit) {
  std::map<std::int32_t, std::vector<std::int32_t>> hits_of;
  for (std::size_t hit = 0; hit < track_of_hit.size(); ++hit) {
    if (track_of_hit[hit] != -1) hits_of[track_of_hit[hit]].push_back(static_cast<std::int32_t>(hit));
  }
  Candidates lists;
  for (const auto& [label, hits] : hits_of) {
    lists.nodes.insert(lists.nodes.end(), hits.begin(), hits.end());
    lists.row_splits.push_back(static_cast<std::int32_t>(lists.nodes.size()));
  }
  return pack(lists.row_splits, lists.nodes);
}

}  // namespace starling
