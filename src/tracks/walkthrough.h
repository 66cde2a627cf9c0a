#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tracks/adjacency.h"

namespace starling {

/// Walks the nodes of `order` that are flagged in `walkable` (starling/tracks.h says how) and returns each path of at
/// least `min_hits` hits. A path that is too short gives up its first hit only.
std::vector<std::vector<std::int32_t>> walk(const Adjacency& graph, std::span<const std::int32_t> order,
                                            std::span<const std::uint8_t> walkable, float walk_add, int min_hits);

}  // namespace starling
