#pragma once

#include <algorithm>
#include <cstdint>

#include "dense/float_kernels.h"

/// Tiles and chunks of rows, which statistics of batch normalisation are merged in.
namespace starling::dense {

inline constexpr int kTilesPerChunk = 8;  ///< a chunk is what a thread takes at a time

/// Rows that a tile holds: a multiple of every kernel's block of rows, at most 16 KB per buffer of `width` columns
/// where that leaves a block. The same at every instruction level.
inline int tile_rows(int width) {
  const int padded = (width + kPartialSums - 1) / kPartialSums * kPartialSums;
  return 24 * std::clamp(4096 / (24 * padded), 1, 4);
}

inline std::int64_t chunk_count(std::int64_t rows, int tile) {
  return (rows + std::int64_t{tile} * kTilesPerChunk - 1) / (std::int64_t{tile} * kTilesPerChunk);
}

}  // namespace starling::dense
