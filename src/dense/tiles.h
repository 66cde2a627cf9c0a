#pragma once

#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "dense/tile_rows.h"

/// Rows of dense layers in tiles: a tile goes through several layers while it is in the cache.
namespace starling::dense {

/// Calls body(first row, count, slot) for every tile of the rows, with at most `slots` threads, each with a slot of its
/// own. Tiles and chunks are the same for any number of threads. A thread calls enter() before its tiles and leave()
/// after them, where they are given.
template <typename Body>
void for_tiles(std::int64_t rows, int tile, int slots, const Body& body, void (*enter)() = nullptr,
               void (*leave)() = nullptr) {
  const std::int64_t chunks = chunk_count(rows, tile);
  std::atomic<std::int64_t> next{0};
  const auto work = [&](int slot) {
    if (enter != nullptr) enter();
    for (std::int64_t chunk = next++; chunk < chunks; chunk = next++) {
      const std::int64_t begin = chunk * kTilesPerChunk * tile;
      const std::int64_t end = std::min<std::int64_t>(rows, begin + kTilesPerChunk * std::int64_t{tile});
      for (std::int64_t first = begin; first < end; first += tile) {
        body(first, static_cast<int>(std::min<std::int64_t>(tile, end - first)), slot);
      }
    }
    if (leave != nullptr) leave();
  };
  tbb::parallel_for(0, static_cast<int>(std::min<std::int64_t>(slots, chunks)), work, tbb::simple_partitioner());
}

}  // namespace starling::dense
