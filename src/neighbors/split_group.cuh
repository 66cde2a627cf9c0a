#pragma once

#include "neighbors/tree.cuh"

// Splits a group down to quarters of leaves, in the shared memory of a block with a thread a place. Down to leaves, a
// level halves each segment at the median of its widest dimension by sorting it into bins; points of a bin go either
// way. Below, a warp has a leaf and sorts for itself.
namespace starling::neighbors_cuda {
namespace {

constexpr std::uint32_t kPadding = 0xffffffff;

// Dynamic shared memory of a block that splits a group.
struct GroupMemory {
  static constexpr int kSegments = kChildren;  // of all levels; the level of n segments begins at n

  float* x;                   // [dimensions, points]
  std::uint32_t* items;       // [points] the point at each place, or kPadding
  std::uint32_t* bins;        // [2 × points] shared by the segments of a level
  std::uint32_t* sums;        // [32] points in each 64 bins
  std::uint32_t *low, *high;  // [segments, dimensions] ordered, `low` negated

  __device__ GroupMemory(void* memory, int dimensions) {
    x = static_cast<float*>(memory);
    items = reinterpret_cast<std::uint32_t*>(x + kGroupPoints * dimensions);
    bins = items + kGroupPoints;
    sums = bins + 2 * kGroupPoints;
    low = sums + 32;
    high = low + kSegments * dimensions;
  }
  static int bytes(int dimensions) {
    return static_cast<int>(sizeof(float)) * (kGroupPoints * (dimensions + 3) + 32 + 2 * kSegments * dimensions);
  }
  /// One thread a place calls it before the split.
  __device__ void clear(int dimensions) const {
    for (int i = threadIdx.x; i < 2 * kSegments * dimensions; i += kGroupPoints) low[i] = 0;
  }
};

/// The widest of the dimensions that lanes 0 .. dimensions − 1 have the extents of (the first of them; one at least).
__device__ inline int widest_lane(float extent, int dimensions) {
  const std::uint32_t bits = static_cast<int>(threadIdx.x % 32) < dimensions ? to_ordered(extent) : 0;
  return __ffs(__ballot_sync(kWarp, bits == warp_max(bits))) - 1;
}

/// The largest value of the lane's `lanes` lanes, 32 or 16.
__device__ inline std::uint32_t largest_of(std::uint32_t value, int lanes) {
  if (lanes == 32) return warp_max(value);
  const bool second = threadIdx.x % 32 >= 16;
  const std::uint32_t of_first = warp_max(second ? 0 : value), of_second = warp_max(second ? value : 0);
  return second ? of_second : of_first;
}

/// Boxes of the segments of a level, 1 << bits places each. Eight warps share a dimension, four places a lane.
__device__ inline void box_segments(const GroupMemory& memory, int dimensions, int bits) {
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int first = (warp % 8 * 32 + lane) * 4;
  const int lanes = min(1 << bits >> 2, 32);
  const int box = ((kGroupPoints + first) >> bits) * dimensions;
  const uint4 four = *reinterpret_cast<const uint4*>(memory.items + first);
  const std::uint32_t items[4] = {four.x, four.y, four.z, four.w};
  for (int d = warp / 8; d < dimensions; d += 4) {
    float least = infinity<float>(), most = -infinity<float>();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      // A minimum with NaN is the other number.
      const float x = items[i] == kPadding ? not_a_number<float>() : memory.x[d * kGroupPoints + items[i]];
      least = fminf(least, x);
      most = fmaxf(most, x);
    }
    const bool some = least <= most;
    const std::uint32_t low = largest_of(some ? ~to_ordered(least) : 0, lanes);
    const std::uint32_t high = largest_of(some ? to_ordered(most) : 0, lanes);
    if (lane % lanes != 0) continue;
    atomicMax(&memory.low[box + d], low);
    atomicMax(&memory.high[box + d], high);
  }
}

/// Sorts each segment of a level into bins along its widest dimension. The points of mixed segments stay where they
/// are.
__device__ inline std::uint32_t sort_into_bins(const GroupMemory& memory, int dimensions, std::uint32_t item, int bits,
                                               bool mixed) {
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int segment = thread >> bits;
  __syncthreads();
  box_segments(memory, dimensions, bits);
  auto* const two_bins = reinterpret_cast<uint2*>(memory.bins) + thread;
  *two_bins = {0, 0};
  __syncthreads();
  const int d = min(lane, dimensions - 1), box = ((kGroupPoints >> bits) + segment) * dimensions + d;
  const float low = from_ordered(~memory.low[box]), extent = from_ordered(memory.high[box]) - low;
  const int widest = widest_lane(extent, dimensions);
  const float origin = __shfl_sync(kWarp, low, widest), width = __shfl_sync(kWarp, extent, widest);
  int bin = 2 * thread;
  std::uint32_t rank = 0;
  if (item != kPadding) {
    if (!mixed) {
      const float bins = static_cast<float>(2 << bits);
      const float x = memory.x[widest * kGroupPoints + item];
      const float scale = width > 0 ? bins / width : 0;
      bin = (segment << bits) * 2 + static_cast<int>(fminf(fmaxf((x - origin) * scale, 0.0f), bins - 1));
    }
    rank = atomicAdd(&memory.bins[bin], 1);
  }
  __syncthreads();
  const uint2 sizes = *two_bins;
  const std::uint32_t upto = sum_upto(sizes.x + sizes.y);
  *two_bins = {upto - sizes.x - sizes.y, upto - sizes.y};
  if (lane == 31) memory.sums[warp] = upto;
  __syncthreads();
  const std::uint32_t before = sum_upto(memory.sums[lane]) - memory.sums[lane];
  const std::uint32_t place = __shfl_sync(kWarp, before, bin / 64) + memory.bins[bin] + rank;
  if (item != kPadding) memory.items[place] = item;
  __syncthreads();
  return memory.items[thread];
}

/// Halves each `length` places of a leaf, a warp, at the median of their widest dimension.
__device__ inline std::uint32_t halve_in_leaf(const GroupMemory& memory, int dimensions, std::uint32_t item,
                                              int length) {
  // The key's upper part is the coordinate within its segment: 22 bits are plenty to find a median.
  constexpr int kItemBits = 10;
  constexpr float kSteps = static_cast<float>((1u << (32 - kItemBits)) - 2);
  static_assert(kGroupPoints == 1 << kItemBits && kQuarterPoints >= 8);
  float x = 0, origin = 0, extent = -1;
  for (int d = 0; d < dimensions; ++d) {
    const float mine = item == kPadding ? 0 : memory.x[d * kGroupPoints + item];
    const std::uint32_t value = to_ordered(mine);
    const float low = from_ordered(~largest_of(item == kPadding ? 0 : ~value, length));
    const float width = from_ordered(largest_of(item == kPadding ? 0 : value, length)) - low;
    if (d > 0 && !(width > extent)) continue;
    x = mine;
    origin = low;
    extent = width;
  }
  const float scale = extent > 0 ? kSteps / extent : 0;
  std::uint32_t key = kPadding;
  if (item != kPadding)
    key = static_cast<std::uint32_t>(fminf(fmaxf((x - origin) * scale, 0.0f), kSteps)) << kItemBits | item;
  key = sort_lanes(key, length);
  return key == kPadding ? kPadding : key & (kGroupPoints - 1);
}

/// Splits the points of a block at medians of the widest dimension, down to quarters of leaves. `item` is the point at
/// the thread's place before, the result the one after. is_mixed(first, length) tells segments, by their first place,
/// that hold several events and stay as they are.
template <typename IsMixed>
__device__ std::uint32_t split_group(const GroupMemory& memory, int dimensions, std::uint32_t item,
                                     const IsMixed& is_mixed) {
  const int thread = threadIdx.x;
  memory.items[thread] = item;
  memory.clear(dimensions);
  constexpr int kGroupBits = 10, kLeafBits = 5;
  static_assert(1 << kGroupBits == kGroupPoints && 1 << kLeafBits == kLeafPoints);
  for (int bits = kGroupBits; bits > kLeafBits; --bits)  // not lengths: a division would cost more than all else here
    item = sort_into_bins(memory, dimensions, item, bits, is_mixed(thread >> bits << bits, 1 << bits));
  if (is_mixed(thread / kLeafPoints * kLeafPoints, kLeafPoints)) return item;
  for (int length = kLeafPoints; length > kQuarterPoints; length /= 2)
    item = halve_in_leaf(memory, dimensions, item, length);
  return item;
}

}  // namespace
}  // namespace starling::neighbors_cuda
