#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "starling/graph.h"
#include "starling/tracks.h"

namespace starling::tracks::host {

/// Lists of nodes, one after the other.
struct Candidates {
  std::vector<std::int32_t> row_splits{0}, nodes;
};

/// What the builder of the cuts makes of the edges. `rank`, where there is one, gives each node the number under which
/// it is listed; ties go to the smaller number. Nodes stand by their longest way from an inner end, then by number,
/// where `outwards` asks for it, else in any order.
Candidates find_candidates(const EdgeListView& edges, std::span<const float> scores, const TrackCuts& cuts,
                           std::span<const std::int32_t> rank, bool outwards);

}  // namespace starling::tracks::host
