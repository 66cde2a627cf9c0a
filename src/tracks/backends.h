#pragma once

#include <cstddef>
#include <span>

#include "starling/hit_graph.h"
#include "starling/tracks.h"

// What stands behind build_tracks() on a CUDA device once it has checked its arguments (cuda/; without CUDA in the
// build no_cuda.cpp, which throws).
namespace starling::tracks::cuda {

std::size_t build_tracks_bytes(std::int32_t num_nodes, std::int64_t num_edges, const TrackCuts& cuts);

/// `graph` is null where nothing is known of layers.
void build_tracks(const EdgeListView& edges, const HitGraphView* graph, const float* scores, const TrackCuts& cuts,
                  const TracksMemory& tracks, std::span<std::byte> workspace, const Execution& execution);

}  // namespace starling::tracks::cuda
