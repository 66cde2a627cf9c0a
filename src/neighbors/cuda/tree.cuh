#pragma once

#include <cstdint>

#include "cuda/rows.cuh"
#include "cuda/warp.cuh"
#include "neighbors/dimensions.h"

namespace starling::neighbors::cuda {

using namespace starling::cuda;

// The tree that every search walks. Invariants: 32 consecutive places are a leaf, 32 leaves a group, 32 groups a
// region, and event e holds the places row_splits[e] .. row_splits[e + 1] - 1, as it holds those rows. Which point of
// an event is at which of its places decides only about time: points of a leaf, a group or a region lie close together.
// A warp has one lane per point of a leaf, and per child of a node.
inline constexpr int kLeafPoints = 32;
inline constexpr int kQuarterPoints = 8;  // a leaf is split on, so that its quarters are close together
inline constexpr int kQuarters = kLeafPoints / kQuarterPoints;
inline constexpr int kChildren = 32;
inline constexpr int kGroupPoints = kLeafPoints * kChildren;
inline constexpr int kRegionPoints = kGroupPoints * kChildren;
inline constexpr int kMaxPadded = 12;  // beyond, boxes exclude so little that wide.cuh takes less time
inline constexpr int kQuarterLevel = 0, kLeafLevel = 1, kGroupLevel = 2, kRegionLevel = 3, kLevels = 4;

/// Numbers of dimensions that rows of the tree are padded to.
using Padded = Dimensions<4, 8, 10, kMaxPadded>;

/// Whether rows are copied in tree order, so that a warp reads a leaf in one go. Wider rows stay where they are, to
/// keep the workspace small.
template <typename T>
__host__ __device__ constexpr bool is_copied(int padded) {
  return sizeof(T) * static_cast<unsigned>(padded) <= 48;
}

inline constexpr std::int32_t kNoRow = 0x7fffffff;  ///< past all rows

template <typename T>
struct Tree {
  int num_points = 0;
  int dimensions = 0;
  int num_nodes[kLevels] = {};  ///< of quarters as many as whole leaves have
  const T* points = nullptr;
  /// [places] Row of the point at each place, or ~row where it may be no neighbour. Past the points: −1.
  std::int32_t* order = nullptr;
  T* sorted = nullptr;    ///< [places, padded dimensions] coordinates in tree order; NaN where it may be no neighbour
  T* low[kLevels] = {};   ///< [nodes, padded dimensions] corners of the boxes of the possible neighbours
  T* high[kLevels] = {};  ///< +inf below −inf for a node without any
  std::int32_t* num_candidates[kLevels] = {};  ///< [nodes] of groups and regions only: the possible neighbours below
  std::int32_t* min_row = nullptr;             ///< [groups] smallest row of a possible neighbour

  /// Of whole groups, and a quarter leaf without points.
  __host__ __device__ int num_places() const { return num_nodes[kGroupLevel] * kGroupPoints + kQuarterPoints; }
  /// The quarter without points.
  __device__ int nowhere() const { return num_nodes[kGroupLevel] * (kGroupPoints / kQuarterPoints); }
};

template <typename T, int kDimensions>
__device__ inline T distance2(const Row<T, kDimensions>& a, const Row<T, kDimensions>& b) {
  T sum = 0;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) {
    const T difference = a.x[d] - b.x[d];
    sum = fma(difference, difference, sum);
  }
  return sum;
}

/// max(a, b, 0).
__device__ inline double above_zero(double a, double b) { return max(max(a, b), 0.0); }
/// Floats above zero order as their bits do, so that one integer instruction does the work of two.
__device__ inline float above_zero(float a, float b) {
  return __int_as_float(__vimax_s32_relu(__float_as_int(a), __float_as_int(b)));
}

/// Squared distance to the nearest point of a box. Rounding is monotonic and the sum runs as in distance2(), so no
/// point of the box has a smaller computed distance: pruning by it needs no tolerance.
template <typename T, int kDimensions>
__device__ inline T box_distance2(const Row<T, kDimensions>& q, const Row<T, kDimensions>& low,
                                  const Row<T, kDimensions>& high) {
  T sum = 0;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) {
    const T outside = above_zero(low.x[d] - q.x[d], q.x[d] - high.x[d]);
    sum = fma(outside, outside, sum);
  }
  return sum;
}

/// Squared distance to the farthest corner of a box: no point of it has a greater computed distance.
template <typename T, int kDimensions>
__device__ inline T far_distance2(const Row<T, kDimensions>& q, const Row<T, kDimensions>& low,
                                  const Row<T, kDimensions>& high) {
  T sum = 0;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) {
    const T farthest = max(q.x[d] - low.x[d], high.x[d] - q.x[d]);
    sum = fma(farthest, farthest, sum);
  }
  return sum;
}

}  // namespace starling::neighbors::cuda
