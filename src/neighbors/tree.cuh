#pragma once

#include <cstdint>
#include <type_traits>

namespace starling::neighbors_cuda {

// The tree that every search walks. Points are ordered so that 32 consecutive ones, a leaf, lie close together; 32
// leaves are a group, 32 groups a region. A leaf has one point a lane of a warp, an inner node one child a lane. Places
// keep the events apart: event e holds the places row_splits[e] .. row_splits[e + 1], as it holds those rows.
inline constexpr int kLeafPoints = 32;
inline constexpr int kQuarterPoints = 8;  // a leaf is split on, so that its quarters are close together
inline constexpr int kQuarters = kLeafPoints / kQuarterPoints;
inline constexpr int kChildren = 32;
inline constexpr int kGroupPoints = kLeafPoints * kChildren;
inline constexpr int kRegionPoints = kGroupPoints * kChildren;
inline constexpr int kMaxPadded = 16;
inline constexpr int kQuarterLevel = 0, kLeafLevel = 1, kGroupLevel = 2, kRegionLevel = 3, kLevels = 4;
inline constexpr unsigned kWarp = 0xffffffffu;

/// Dimensions that rows are padded to.
__host__ __device__ constexpr int padded_dimensions(int dimensions) {
  return dimensions <= 4 ? 4 : dimensions <= 8 ? 8 : dimensions <= 10 ? 10 : kMaxPadded;
}

/// Whether rows are copied in tree order, so that a warp reads a leaf in one go. Wider rows stay where they are, to
/// keep the workspace small.
template <typename T>
__host__ __device__ constexpr bool is_copied(int padded) {
  return sizeof(T) * static_cast<unsigned>(padded) <= 40;
}

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

  /// Of whole groups, and a quarter leaf without points.
  __host__ __device__ int num_places() const { return num_nodes[kGroupLevel] * kGroupPoints + kQuarterPoints; }
  __device__ int nowhere() const { return num_nodes[kGroupLevel] * (kGroupPoints / kQuarterPoints); }
};

template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Type = std::uint32_t;
};
template <>
struct Bits<double> {
  using Type = std::uint64_t;
};

/// The bits of a squared distance order as its value does: it is never negative.
__device__ inline std::uint32_t to_bits(float value) { return __float_as_uint(value); }
__device__ inline std::uint64_t to_bits(double value) { return __double_as_longlong(value); }
__device__ inline float from_bits(std::uint32_t bits) { return __uint_as_float(bits); }
__device__ inline double from_bits(std::uint64_t bits) { return __longlong_as_double(bits); }

template <typename T>
__device__ inline T infinity() {
  return static_cast<T>(__int_as_float(0x7f800000));
}
template <typename T>
__device__ inline T not_a_number() {
  return static_cast<T>(__int_as_float(0x7fffffff));
}

/// An order of all floats in integers.
__device__ inline std::uint32_t to_ordered(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float from_ordered(std::uint32_t bits) {
  return __uint_as_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

/// A row, padded with zeros, which add exactly nothing to a squared distance.
template <typename T, int kDimensions>
struct alignas(sizeof(T) * kDimensions % 16 == 0 ? 16 : 8) Row {
  T x[kDimensions];
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

/// Squared distance to the nearest point of a box. Rounding is monotone and the sum runs as in distance2(), so no point
/// of the box has a smaller computed distance: pruning by it needs no tolerance.
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

template <typename T, int kDimensions>
__device__ inline Row<T, kDimensions> load_row(const T* rows, std::int64_t row, int dimensions) {
  Row<T, kDimensions> result;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) result.x[d] = d < dimensions ? rows[row * dimensions + d] : T(0);
  return result;
}

/// A row of an array of padded rows, in loads of 16 bytes, or 8 where it is no multiple of 16.
template <typename T, int kDimensions>
__device__ __forceinline__ Row<T, kDimensions> load_padded(const T* rows, int row) {
  using Part = std::conditional_t<alignof(Row<T, kDimensions>) == 16, float4, float2>;
  static_assert(sizeof(Row<T, kDimensions>) == kDimensions * sizeof(T));
  Row<T, kDimensions> result;
  const auto* const from = reinterpret_cast<const Part*>(rows + static_cast<std::int64_t>(row) * kDimensions);
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(result) / sizeof(Part)); ++i) {
    const Part part = from[i];
    memcpy(reinterpret_cast<char*>(result.x) + i * sizeof(Part), &part, sizeof(Part));
  }
  return result;
}

/// The event that holds a row: the last one that starts at or before it.
__device__ inline int find_event(const std::int32_t* row_splits, int num_events, int row) {
  int low = 0, high = num_events;  // row_splits[low] <= row < row_splits[high]
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (row_splits[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

__device__ inline unsigned lanes_before(int lane) { return (1u << lane) - 1; }

/// Sorts each `length` values of a warp, one a lane, in ascending order (bitonic). Each merge begins with mirror
/// images, so that all ascend. Lengths are powers of two up to 32.
template <typename B>
__device__ __forceinline__ B sort_lanes(B value, int length = 32) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int size = 2; size <= 32; size *= 2) {
    if (size > length) break;
#pragma unroll
    for (int step = size / 2; step > 0; step /= 2) {
      const B other = __shfl_xor_sync(kWarp, value, step == size / 2 ? size - 1 : step);
      value = (lane & step) == 0 ? min(value, other) : max(value, other);
    }
  }
  return value;
}

/// A value that all lanes share, in a form that the compiler knows to be shared. Where all branches of a warp hang on
/// such values, its votes and exchanges need no code for lanes that went astray: a third of all instructions.
__device__ inline int uniform(int value) { return __reduce_max_sync(kWarp, value); }

__device__ inline std::uint32_t warp_min(std::uint32_t value) { return __reduce_min_sync(kWarp, value); }
__device__ inline std::uint32_t warp_max(std::uint32_t value) { return __reduce_max_sync(kWarp, value); }
__device__ inline std::uint64_t warp_min(std::uint64_t value) {
  for (int step = 16; step > 0; step /= 2) {
    const std::uint64_t other = __shfl_xor_sync(kWarp, value, step);
    value = other < value ? other : value;
  }
  return value;
}
__device__ inline std::uint64_t warp_max(std::uint64_t value) { return ~warp_min(~value); }

/// Inclusive sum over the lanes.
__device__ inline std::uint32_t sum_upto(std::uint32_t value) {
  for (int step = 1; step < 32; step *= 2) {
    const std::uint32_t before = __shfl_up_sync(kWarp, value, step);
    if (static_cast<int>(threadIdx.x % 32) >= step) value += before;
  }
  return value;
}

}  // namespace starling::neighbors_cuda
