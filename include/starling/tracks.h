#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "starling/graph.h"

namespace starling {

struct HitGraph;

enum class TrackBuilder { components, walkthrough, junction_removal };

/// How scored edges become tracks (definitions, section 4).
struct TrackCuts {
  TrackBuilder builder = TrackBuilder::walkthrough;
  float score = 0.5f;     ///< edges below take no part (components, junction removal)
  float walk_min = 0.1f;  ///< walkthrough: edges below take no part
  float walk_add = 0.6f;  ///< walkthrough: every continuation above is followed, not only the best
  int min_hits = 3;       ///< shorter candidates are dropped
};

TrackBuilder parse_track_builder(const std::string& name);
std::string to_string(TrackBuilder builder);

/// Tracks as lists of hits, ordered along the track; no hit is on two tracks. Tracks are ordered by their smallest hit
/// index.
struct Tracks {
  std::vector<std::int32_t> row_splits{0};  ///< [tracks + 1]
  std::vector<std::int32_t> hits;

  std::int32_t size() const { return static_cast<std::int32_t>(row_splits.size()) - 1; }
  /// The track of each of `num_hits` hits, −1 = none.
  std::vector<std::int32_t> track_of_hit(std::int32_t num_hits) const;
};

/// `scores` has one entry an edge. Deterministic; ties are broken by the smaller hit index.
Tracks build_tracks(const EdgeList& edges, std::span<const float> scores, const TrackCuts& cuts);
Tracks build_tracks(const HitGraph& graph, std::span<const float> scores, const TrackCuts& cuts);

/// Tracks from one track index a hit (a tracks file); hits in ascending order.
Tracks tracks_from_labels(std::span<const std::int32_t> track_of_hit);

}  // namespace starling
