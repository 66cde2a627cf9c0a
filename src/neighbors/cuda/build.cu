#include "neighbors/cuda/build.cuh"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "neighbors/formulas.h"

// The tree adapts to the points: every split is near a median of the widest dimension, so that it costs the same for
// clusters.
//   1. split.cu: events larger than a group are split by the whole device, down to groups.
//   2. Here, one block per group and one thread per place: the group is split down to leaves and their quarters, in
//      shared memory. Down to leaves, a level halves each segment at the median of its widest dimension by sorting it
//      into bins; points of a bin go to either side. Below, one warp per leaf sorts its points.
//   3. Here too: the boxes, from quarters to regions.
namespace starling::neighbors::cuda {
namespace {

constexpr int kThreads = kGroupPoints;
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
  /// One thread per place calls it before the split.
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

/// Boxes of the segments of a level, 1 << bits places each. Eight warps share a dimension, four places per lane.
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

/// Halves each `length` places of a leaf at the median of their widest dimension. One warp per leaf.
__device__ inline std::uint32_t halve_in_leaf(const GroupMemory& memory, int dimensions, std::uint32_t item,
                                              int length) {
  // The key's upper part is the coordinate within its segment: 22 bits are enough to find a median.
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

template <typename T>
__device__ bool is_finite_row(const T* row, int dimensions) {
  bool finite = true;
  for (int d = 0; d < dimensions; ++d) finite = finite && isfinite(row[d]);
  return finite;
}

template <typename T>
__device__ T warp_lowest(T value) {
  for (int step = 16; step > 0; step /= 2) value = min(value, __shfl_xor_sync(kWarp, value, step));
  return value;
}
__device__ float warp_lowest(float value) { return from_ordered(warp_min(to_ordered(value))); }

/// Four coordinates of a point at its place, for the leaf's box and the copy in tree order; where row is −1, any.
template <typename T>
__device__ Row<T, 4> sorted_four(const Build<T>& build, const GroupMemory& memory, std::uint32_t item, std::int32_t row,
                                 int first) {
  if constexpr (sizeof(T) > sizeof(float)) {
    return row >= 0 && first < build.tree.dimensions ? load_four(build, row, first) : Row<T, 4>{};
  } else {
    Row<T, 4> result;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      result.x[i] = first + i < build.tree.dimensions ? memory.x[(first + i) * kThreads + item] : T(0);
    return result;
  }
}

/// Four values, or two where there are no more, from dimension `first` of a padded row on.
template <typename T>
__device__ void store_four(T* rows, std::int64_t row, int padded, int first, const Row<T, 4>& x) {
  T* const to = rows + row * padded + first;
  if (padded % 4 == 0) {
    *reinterpret_cast<Row<T, 4>*>(to) = x;
  } else {
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (first + 2 * half < padded) *reinterpret_cast<Row<T, 2>*>(to + 2 * half) = {x.x[2 * half], x.x[2 * half + 1]};
  }
}

/// Whether this block is the last to call it: then it may read what all others have written.
template <typename T>
__device__ bool is_last_block(const Build<T>& build) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = gridDim.x == 1 || atomicAdd(build.split.finished, 1) == static_cast<int>(gridDim.x) - 1;
  __syncthreads();
  __threadfence();
  return last;
}

/// Boxes of the regions, one per warp, the quarter without points, and −1 in *bad_row where no row is bad.
template <typename T>
__device__ void finish(const Build<T>& build) {
  const Tree<T>& tree = build.tree;
  const int lane = threadIdx.x % 32, padded = build.padded;
  for (int region = threadIdx.x / 32; region < tree.num_nodes[kRegionLevel]; region += kThreads / 32) {
    const int group = region * kChildren + lane;
    const bool real = group < tree.num_nodes[kGroupLevel];
    for (int d = 0; d < padded; ++d) {
      const T low = warp_lowest(real ? __ldcg(tree.low[kGroupLevel] + group * padded + d) : infinity<T>());
      const T high = -warp_lowest(real ? -__ldcg(tree.high[kGroupLevel] + group * padded + d) : infinity<T>());
      if (lane != 0) continue;
      tree.low[kRegionLevel][region * padded + d] = low;
      tree.high[kRegionLevel][region * padded + d] = high;
    }
    const int below = __reduce_add_sync(kWarp, real ? __ldcg(tree.num_candidates[kGroupLevel] + group) : 0);
    if (lane == 0) tree.num_candidates[kRegionLevel][region] = below;
  }
  if (threadIdx.x == 0 && __ldcg(build.bad_row) == kNoBadRow) *build.bad_row = -1;
  if (tree.num_points > 0 && threadIdx.x < kQuarterPoints) {
    const std::int64_t nowhere = tree.nowhere() * kQuarterPoints + threadIdx.x;
    tree.order[nowhere] = -1;
    for (int d = 0; d < padded && tree.sorted != nullptr; ++d) tree.sorted[nowhere * padded + d] = not_a_number<T>();
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) group_kernel(const __grid_constant__ Build<T> build, bool split) {
  extern __shared__ float4 memory_block[];
  __shared__ int first_event[kChildren], last_event[kChildren];
  __shared__ std::int32_t rows[kThreads];
  __shared__ T box[2][kMaxPadded][kChildren];
  __shared__ std::int32_t leaf_min_row[kChildren];
  after_previous();
  const Tree<T>& tree = build.tree;
  const int dimensions = tree.dimensions, padded = build.padded;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const GroupMemory memory(memory_block, dimensions);
  const int begin = blockIdx.x * kThreads;
  const int place = begin + thread;
  const bool real = place < tree.num_points;

  if (real) {
    const std::int32_t row = split ? tree.order[place] : place;
    rows[thread] = row;
    bool finite = true;
    for (int first = 0; first < dimensions; first += 4) {
      const Row<T, 4> x = load_four(build, row, first);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        finite = finite && isfinite(x.x[i]);
        if (first + i < dimensions) memory.x[(first + i) * kThreads + thread] = static_cast<float>(x.x[i]);
      }
    }
    if (!finite) atomicMin(build.bad_row, row);
  }
  if (thread < kChildren) {
    const int first = begin + thread * kLeafPoints, end = tree.num_points - 1;
    const bool several = build.row_splits != nullptr;
    first_event[thread] = several ? find_event(build.row_splits, build.num_events, min(first, end)) : 0;
    last_event[thread] =
        several ? find_event(build.row_splits, build.num_events, min(first + kLeafPoints - 1, end)) : 0;
  }
  __syncthreads();
  const std::uint32_t item = split_group(memory, dimensions, real ? thread : kPadding, [&](int first, int length) {
    return first_event[first / kLeafPoints] != last_event[(first + length - 1) / kLeafPoints];
  });

  // One leaf per warp. The places past the last point stayed behind all others.
  const int leaf = place / kLeafPoints;
  const std::int32_t row = real ? rows[item] : -1;
  const bool candidate = real && is_neighbor(build.direction, row);
  const int quarter = place / kQuarterPoints;
  T low = 0, high = 0;  // lane d holds dimension d
  for (int first = 0; first < padded; first += 4) {
    Row<T, 4> x = sorted_four(build, memory, real ? item : 0, row, first);
    Row<T, 4> quarter_low, quarter_high;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      quarter_low.x[i] = candidate ? x.x[i] : infinity<T>();
      quarter_high.x[i] = candidate ? x.x[i] : -infinity<T>();
#pragma unroll
      for (int step = kQuarterPoints / 2; step > 0; step /= 2) {
        quarter_low.x[i] = min(quarter_low.x[i], __shfl_xor_sync(kWarp, quarter_low.x[i], step));
        quarter_high.x[i] = max(quarter_high.x[i], __shfl_xor_sync(kWarp, quarter_high.x[i], step));
      }
      const T lowest = warp_lowest(quarter_low.x[i]);
      const T highest = -warp_lowest(-quarter_high.x[i]);
      if (lane == first + i) {
        low = lowest;
        high = highest;
      }
      if (!candidate) x.x[i] = not_a_number<T>();
    }
    if (leaf < tree.num_nodes[kLeafLevel] && lane % kQuarterPoints == 0) {
      store_four(tree.low[kQuarterLevel], quarter, padded, first, quarter_low);
      store_four(tree.high[kQuarterLevel], quarter, padded, first, quarter_high);
    }
    if (tree.sorted != nullptr && tree.num_points > 0) store_four(tree.sorted, place, padded, first, x);
  }
  if (tree.num_points > 0) tree.order[place] = candidate ? row : real ? ~row : -1;
  if (leaf < tree.num_nodes[kLeafLevel] && lane < padded) {
    tree.low[kLeafLevel][leaf * padded + lane] = low;
    tree.high[kLeafLevel][leaf * padded + lane] = high;
  }
  const std::int32_t min_row = __reduce_min_sync(kWarp, candidate ? row : kNoRow);
  if (lane == 0) leaf_min_row[warp] = min_row;
  if (lane < padded) {
    box[0][lane][warp] = low;
    box[1][lane][warp] = high;
  }
  const int in_group = __syncthreads_count(candidate);
  if (warp < padded && static_cast<int>(blockIdx.x) < tree.num_nodes[kGroupLevel]) {
    const T group_low = warp_lowest(box[0][warp][lane]);
    const T group_high = -warp_lowest(-box[1][warp][lane]);
    if (lane == 0) {
      tree.low[kGroupLevel][blockIdx.x * padded + warp] = group_low;
      tree.high[kGroupLevel][blockIdx.x * padded + warp] = group_high;
    }
  }
  if (warp == kChildren - 1 && static_cast<int>(blockIdx.x) < tree.num_nodes[kGroupLevel]) {
    const std::int32_t group_min_row = __reduce_min_sync(kWarp, leaf_min_row[lane]);
    if (lane == 0) {
      tree.num_candidates[kGroupLevel][blockIdx.x] = in_group;
      tree.min_row[blockIdx.x] = group_min_row;
    }
  }
  if (is_last_block(build)) finish(build);
}

template <typename T>
__global__ void check_kernel(const T* rows, int num_rows, int dimensions, int first_row, std::int32_t* bad_row) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row < num_rows && !is_finite_row(rows + static_cast<std::int64_t>(row) * dimensions, dimensions))
    atomicMin(bad_row, first_row + row);
}

}  // namespace

template <typename T>
void lay_out(const NeighborSearch<T>& search, memory::Layout& layout, Build<T>& build) {
  const std::size_t n = search.num_points;
  const int padded = padded_dimensions(Padded(), search.dimensions);
  const bool copied = is_copied<T>(padded);
  Tree<T>& tree = build.tree;
  std::size_t nodes = n;
  for (int level = kLeafLevel; level < kLevels; ++level) {
    nodes = (nodes + kChildren - 1) / kChildren;
    tree.num_nodes[level] = static_cast<int>(nodes);
  }
  tree.num_nodes[kQuarterLevel] = tree.num_nodes[kLeafLevel] * kQuarters;
  for (int level = 0; level < kLevels; ++level) {
    tree.low[level] = layout.take<T>(static_cast<std::size_t>(tree.num_nodes[level]) * padded);
    tree.high[level] = layout.take<T>(static_cast<std::size_t>(tree.num_nodes[level]) * padded);
  }
  for (const int level : {kGroupLevel, kRegionLevel})
    tree.num_candidates[level] = layout.take<std::int32_t>(static_cast<std::size_t>(tree.num_nodes[level]));
  tree.min_row = layout.take<std::int32_t>(static_cast<std::size_t>(tree.num_nodes[kGroupLevel]));
  const std::size_t places = tree.num_places();
  tree.order = layout.take<std::int32_t>(places);
  Split& split = build.split;
  const std::size_t groups = tree.num_nodes[kGroupLevel];
  split.events = layout.take<int4>(groups);
  split.finished = layout.take<std::int32_t>(1);
  // Splitting is over before the copies are written.
  const std::size_t copies = copied ? places * padded * sizeof(T) : 0;
  const std::size_t zeroed = groups * (kHistogram + 3) * sizeof(std::uint32_t);
  const std::size_t cells = groups * search.dimensions * sizeof(float2);
  const std::size_t splitting = groups > 1 ? zeroed + cells + n * sizeof(std::int32_t) : 0;
  std::byte* const shared = layout.take<std::byte>(std::max(copies, splitting));
  tree.sorted = copied ? reinterpret_cast<T*>(shared) : nullptr;
  split.cells = reinterpret_cast<float2*>(shared);
  split.zeroed = split.histogram = reinterpret_cast<std::uint32_t*>(shared + cells);
  split.zeroed_bytes = zeroed;
  split.sides = reinterpret_cast<std::int32_t*>(split.histogram + groups * kHistogram);
  split.other_order = split.sides + groups * 3;
  tree.num_points = search.num_points;
  tree.dimensions = search.dimensions;
  tree.points = search.points;
  build.row_splits = search.row_splits;
  build.num_events = search.num_events;
  build.direction = search.direction;
  build.padded = padded;
}

template <typename T>
void build_tree(Build<T> build, CUstream_st* stream) {
  const Tree<T>& tree = build.tree;
  build.in_fours = tree.dimensions % 4 == 0 && reinterpret_cast<std::uintptr_t>(tree.points) % sizeof(float4) == 0;
  const bool split = tree.num_nodes[kGroupLevel] > 1;
  if (split) split_events(build, stream);
  const int bytes = GroupMemory::bytes(tree.dimensions);
  // A limit of the kernel, which threads of the host share: the same for every launch.
  call(cudaFuncSetAttribute(group_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                            GroupMemory::bytes(kMaxPadded)));
  if (split)
    launch_after(group_kernel<T>, tree.num_nodes[kGroupLevel], kThreads, bytes, stream, build, split);
  else
    group_kernel<T><<<1, kThreads, bytes, stream>>>(build, split);
  call(cudaGetLastError());
}

template <typename T>
void check_rows(const T* rows, int num_rows, int dimensions, int first_row, std::int32_t* bad_row,
                CUstream_st* stream) {
  if (num_rows == 0) return;
  check_kernel<T><<<blocks_of(num_rows, 256), 256, 0, stream>>>(rows, num_rows, dimensions, first_row, bad_row);
  call(cudaGetLastError());
}

template void lay_out(const NeighborSearch<float>&, memory::Layout&, Build<float>&);
template void lay_out(const NeighborSearch<double>&, memory::Layout&, Build<double>&);
template void build_tree(Build<float>, CUstream_st*);
template void build_tree(Build<double>, CUstream_st*);
template void check_rows(const float*, int, int, int, std::int32_t*, CUstream_st*);
template void check_rows(const double*, int, int, int, std::int32_t*, CUstream_st*);

}  // namespace starling::neighbors::cuda
