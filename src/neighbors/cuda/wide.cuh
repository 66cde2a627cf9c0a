#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "neighbors/cuda/build.cuh"

// Searches in more dimensions than boxes can prune: wide_pack.cu prepares the points, wide_search.cuh multiplies tiles
// of them on the tensor cores, wide.cu is what the public functions call.
//
// The filter. Each point x of an event is packed as x' = half((x − c) s): c is a centre of the event and s a power of
// two, which keep x' in the range of half precision. With the error e ≥ |(x − c) s − x'|, which is measured, not
// estimated, the triangle inequality says for a query q and a point p
//   s |q − p| ≥ |q' − p'| − e_q − e_p,   |q' − p'|² = |q'|² + |p'|² − 2 q'·p'.
// So if s |q − p| ≤ t, then q'·p' − |p'|²/2 ≥ (|q'|² − (t + e_q + e_p)²) / 2. The tensor cores compute the left side:
// halves are multiplied exactly and summed in float from −|p'|²/2. A pair that does not meet the inequality, less what
// rounding can do to it, cannot be within t. All others are measured by the chain that defines d², so the answer does
// not depend on the filter: c, s and the order of the points decide about time alone.
namespace starling::neighbors::cuda {

inline constexpr int kTilePlaces = 64;      ///< points that are multiplied together
inline constexpr int kFragmentRows = 16;    ///< rows of an operand of the tensor cores
inline constexpr int kStepDimensions = 16;  ///< dimensions that one instruction multiplies
inline constexpr int kMostSteps = 8;        ///< of a chunk: wider rows are multiplied in several
inline constexpr int kStepWords = kTilePlaces / kFragmentRows * 32;  ///< of a tile, 16 bytes each
inline constexpr int kAxes = 8;                                      ///< dimensions in which the points are ordered
inline constexpr int kAxesSample = 128;                              ///< points that say in which

/// What the filter needs to know of a tile of points.
struct alignas(16) TileHead {
  float minus_half_norm[kTilePlaces];  ///< −|p'|²/2; NaN, which passes no filter, for what may be no neighbour
  std::int32_t row[kTilePlaces];
  float error;  ///< the largest
  float norm;   ///< the largest |p'|²
  float unused[2];
};

/// Rows as the tensor cores read them. A step of a tile is four fragments of 32 lanes of 16 bytes. A lane has the
/// dimensions 2 (lane mod 4) + {0, 1} and those + 8 of row lane / 4, then of row lane / 4 + 8.
struct Packed {
  uint4* halves = nullptr;    ///< [tiles, chunks, 4, steps, 32]
  TileHead* heads = nullptr;  ///< [tiles]
  float* norm = nullptr;      ///< [places] |x'|²
  float* error = nullptr;     ///< [places]
};

/// How events are centred and scaled, and the axes that points are ordered along.
template <typename T>
struct Frame {
  T* centre = nullptr;               ///< [events, dimensions]
  std::int32_t* exponent = nullptr;  ///< [events] of the scale s
  double* mean = nullptr;            ///< [dimensions] of all points
  double* scale = nullptr;           ///< of all points: its inverse is the largest distance of a sample's to the mean
  float* axes = nullptr;             ///< [kAxes, dimensions]
  float* sample = nullptr;           ///< [kAxesSample, dimensions] of points, centred and scaled
};

template <typename T>
struct Wide {
  const T* points = nullptr;
  const T* queries = nullptr;  ///< nullptr: the points
  int num_points = 0, num_queries = 0;
  int dimensions = 0, steps = 0, chunks = 0;
  const std::int32_t* row_splits = nullptr;
  const std::int32_t* query_row_splits = nullptr;
  int num_events = 1;
  const Direction* direction = nullptr;
  bool loop = true;
  T radius2 = 0;

  Frame<T> frame;
  const std::int32_t* order = nullptr;  ///< [places] row of a point, or ~row where it may be no neighbour
  Packed packed_points, packed_queries;

  int k = 0;                                          ///< knn; counting: the largest count
  const std::int64_t* neighbor_row_splits = nullptr;  ///< replaces k
  std::int32_t* index = nullptr;
  T* distance2 = nullptr;
  std::int32_t* count = nullptr;  ///< not null: neighbours are only counted
  std::int32_t* found = nullptr;
};

/// Centres and scales events and finds the axes; writes each point's coordinates along them to `along`
/// [points, kAxes]. Lowers *bad_row to the first row that is not finite.
template <typename T>
void frame_points(const Wide<T>& wide, float* along, std::int32_t* bad_row, cudaStream_t stream);

/// Packs the points in their order and the queries, where they are others.
template <typename T>
void pack(const Wide<T>& wide, cudaStream_t stream);

template <typename T>
void search_wide(const Wide<T>& wide, cudaStream_t stream);

/// Fewer queries than this do not fill the device, unless each warp has few of them.
inline constexpr int kManyQueries = 1 << 16;

/// Steps of a chunk. There are fewer kernels for what takes little time, or is for checking more than for speed.
template <typename T>
int steps_of(int dimensions, int num_queries) {
  if (dimensions > 64) return kMostSteps;
  if (num_queries < kManyQueries || sizeof(T) > sizeof(float)) return 4;
  return dimensions <= 16 ? 1 : dimensions <= 32 ? 2 : 4;
}

inline int tiles_of(int places) { return (places + kTilePlaces - 1) / kTilePlaces; }

}  // namespace starling::neighbors::cuda
