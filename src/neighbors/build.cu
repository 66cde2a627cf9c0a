#include "neighbors/build.cuh"

#include <cuda_runtime.h>

#include <algorithm>

#include "neighbors/cuda_call.h"
#include "neighbors/launch_after.cuh"
#include "neighbors/split.cuh"

// The tree adapts to the points: every split is near a median of the widest dimension, so that clusters cost nothing.
//   1. split.cuh: events larger than a group are split by the whole device, down to groups.
//   2. Here, a block a group: down to leaves, in shared memory; then the boxes.
namespace starling::neighbors_cuda {
namespace {

constexpr int kThreads = kGroupPoints;
constexpr std::uint32_t kPadding = 0xffffffff;

template <typename T>
__device__ bool is_finite_row(const T* row, int dimensions) {
  bool finite = true;
  for (int d = 0; d < dimensions; ++d) finite = finite && isfinite(row[d]);
  return finite;
}

// Dynamic shared memory of a block that splits a group.
struct GroupMemory {
  static constexpr int kSegments = kThreads / (2 * kLeafPoints);  // at the last level

  float* x;                   // [dimensions, points]
  std::uint32_t* exchange;    // [points]
  std::uint32_t *low, *high;  // [segments, dimensions]
  int* dimension;             // [segments]
  float *origin, *scale;

  __device__ GroupMemory(void* memory, int dimensions) {
    x = static_cast<float*>(memory);
    exchange = reinterpret_cast<std::uint32_t*>(x + kThreads * dimensions);
    low = exchange + kThreads;
    high = low + kSegments * dimensions;
    dimension = reinterpret_cast<int*>(high + kSegments * dimensions);
    origin = reinterpret_cast<float*>(dimension + kSegments);
    scale = origin + kSegments;
  }
  static int bytes(int dimensions) {
    return static_cast<int>(sizeof(float)) * (kThreads * (dimensions + 1) + kSegments * (2 * dimensions + 3));
  }
};

__device__ __forceinline__ std::uint32_t exchange_lanes(std::uint32_t key, int step, bool ascending) {
  const std::uint32_t other = __shfl_xor_sync(kWarp, key, step);
  return ((threadIdx.x & step) == 0) == ascending ? min(key, other) : max(key, other);
}

// Sorts each `length` keys of the block, one a thread, in ascending order (bitonic).
__device__ std::uint32_t sort_segments(std::uint32_t key, int length, std::uint32_t* exchange) {
  const int i = threadIdx.x;
#pragma unroll
  for (int size = 2; size <= 32; size *= 2)
#pragma unroll
    for (int step = size / 2; step > 0; step /= 2) key = exchange_lanes(key, step, (i & size) == 0);
  for (int size = 64; size <= length; size *= 2) {
    const bool ascending = (i & size) == 0 || size == length;
    for (int step = size / 2; step >= 32; step /= 2) {
      __syncthreads();
      exchange[i] = key;
      __syncthreads();
      const std::uint32_t other = exchange[i ^ step];
      key = ((i & step) == 0) == ascending ? min(key, other) : max(key, other);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) key = exchange_lanes(key, step, ascending);
  }
  return key;
}

// Splits the points of a block at medians of the widest dimension, down to leaves. `item` is the point at the thread's
// place before, the result the one after. is_mixed(segment, length) tells segments that hold several events and stay as
// they are.
template <typename IsMixed>
__device__ std::uint32_t split_group(const GroupMemory& memory, int dimensions, std::uint32_t item,
                                     const IsMixed& is_mixed) {
  // The key's upper part is the coordinate within its segment: 22 bits are plenty to find a median.
  constexpr int kItemBits = 10;
  constexpr float kSteps = static_cast<float>((1u << (32 - kItemBits)) - 2);
  static_assert(kThreads == 1 << kItemBits);
  const int thread = threadIdx.x, lane = thread % 32;
  for (int length = kThreads; length > kLeafPoints; length /= 2) {
    const int segments = kThreads / length;
    const int segment = thread / length;
    __syncthreads();
    for (int i = thread; i < segments * dimensions; i += kThreads) {
      memory.low[i] = kPadding;
      memory.high[i] = 0;
    }
    __syncthreads();
    for (int d = 0; d < dimensions; ++d) {
      const std::uint32_t value = item == kPadding ? 0 : to_ordered(memory.x[d * kThreads + item]);
      const std::uint32_t low = warp_min(item == kPadding ? kPadding : value);
      const std::uint32_t high = warp_max(value);
      if (lane == 0) {
        atomicMin(&memory.low[segment * dimensions + d], low);
        atomicMax(&memory.high[segment * dimensions + d], high);
      }
    }
    __syncthreads();
    if (thread < segments) {
      float extent = -1;
      for (int d = 0; d < dimensions; ++d) {
        const float low = from_ordered(memory.low[thread * dimensions + d]);
        const float width = from_ordered(memory.high[thread * dimensions + d]) - low;
        if (d > 0 && !(width > extent)) continue;
        extent = width;
        memory.dimension[thread] = d;
        memory.origin[thread] = low;
      }
      memory.scale[thread] = extent > 0 ? kSteps / extent : 0;
    }
    __syncthreads();
    std::uint32_t key = kPadding;
    if (item != kPadding) {
      std::uint32_t upper = thread;
      if (!is_mixed(segment, length)) {
        const float x = memory.x[memory.dimension[segment] * kThreads + item];
        upper = static_cast<std::uint32_t>(
            fminf(fmaxf((x - memory.origin[segment]) * memory.scale[segment], 0.0f), kSteps));
      }
      key = upper << kItemBits | item;
    }
    key = sort_segments(key, length, memory.exchange);
    item = key == kPadding ? kPadding : key & (kThreads - 1);
  }
  return item;
}

template <typename T>
__device__ T warp_lowest(T value) {
  for (int step = 16; step > 0; step /= 2) value = min(value, __shfl_xor_sync(kWarp, value, step));
  return value;
}
__device__ float warp_lowest(float value) { return from_ordered(warp_min(to_ordered(value))); }

template <typename T>
__global__ void __launch_bounds__(kThreads) group_kernel(const __grid_constant__ Build<T> build, bool split) {
  extern __shared__ float4 memory_block[];
  __shared__ int first_event[kChildren], last_event[kChildren];
  __shared__ std::int32_t rows[kThreads];
  __shared__ T box[2][kChildren][kMaxPadded];
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
    const T* const x = tree.points + static_cast<std::int64_t>(row) * dimensions;
    for (int d = 0; d < dimensions; ++d) memory.x[d * kThreads + thread] = static_cast<float>(x[d]);
    if (!is_finite_row(x, dimensions)) atomicMin(build.bad_row, row);
  }
  if (thread < kChildren) {
    const int first = begin + thread * kLeafPoints, end = tree.num_points - 1;
    const bool several = build.row_splits != nullptr;
    first_event[thread] = several ? find_event(build.row_splits, build.num_events, min(first, end)) : 0;
    last_event[thread] =
        several ? find_event(build.row_splits, build.num_events, min(first + kLeafPoints - 1, end)) : 0;
  }
  __syncthreads();
  const std::uint32_t item = split_group(memory, dimensions, real ? thread : kPadding, [&](int segment, int length) {
    const int leaves = length / kLeafPoints;
    return first_event[segment * leaves] != last_event[segment * leaves + leaves - 1];
  });

  // A leaf a warp. The points past the last stayed behind all others.
  const int leaf = place / kLeafPoints;
  const std::int32_t row = real ? rows[item] : 0;
  const std::int8_t direction = real && build.direction != nullptr ? build.direction[row] : std::int8_t{0};
  const bool candidate = real && (direction == 0 || direction == 1);
  T low = 0, high = 0;  // lane d holds dimension d
  for (int d = 0; d < padded; ++d) {
    const T x = real && d < dimensions ? tree.points[static_cast<std::int64_t>(row) * dimensions + d] : T(0);
    const T lowest = warp_lowest(candidate ? x : infinity<T>());
    const T highest = -warp_lowest(candidate ? -x : infinity<T>());
    if (lane == d) {
      low = lowest;
      high = highest;
    }
    if (tree.sorted != nullptr && leaf < tree.num_nodes[0])
      tree.sorted[static_cast<std::int64_t>(place) * padded + d] = candidate ? x : not_a_number<T>();
  }
  if (leaf < tree.num_nodes[0]) {
    tree.order[place] = candidate ? row : real ? ~row : -1;
    if (lane < padded) {
      tree.low[0][leaf * padded + lane] = low;
      tree.high[0][leaf * padded + lane] = high;
    }
  }
  if (lane < padded) {
    box[0][warp][lane] = low;
    box[1][warp][lane] = high;
  }
  __syncthreads();
  if (thread < padded) {
    T group_low = infinity<T>(), group_high = -infinity<T>();
    for (int child = 0; child < kChildren; ++child) {
      group_low = min(group_low, box[0][child][thread]);
      group_high = max(group_high, box[1][child][thread]);
    }
    tree.low[1][blockIdx.x * padded + thread] = group_low;
    tree.high[1][blockIdx.x * padded + thread] = group_high;
  }
}

// Boxes of the regions, one a warp; and the last word on the rows.
template <typename T>
__global__ void region_kernel(const __grid_constant__ Build<T> build) {
  after_previous();
  const Tree<T>& tree = build.tree;
  const int region = blockIdx.x, lane = threadIdx.x;
  const int group = region * kChildren + lane;
  const bool real = group < tree.num_nodes[1];
  for (int d = 0; region < tree.num_nodes[2] && d < build.padded; ++d) {
    const T low = warp_lowest(real ? tree.low[1][group * build.padded + d] : infinity<T>());
    const T high = -warp_lowest(real ? -tree.high[1][group * build.padded + d] : infinity<T>());
    if (lane == 0) {
      tree.low[2][region * build.padded + d] = low;
      tree.high[2][region * build.padded + d] = high;
    }
  }
  if (region == 0 && lane == 0 && *build.bad_row == kNoBadRow) *build.bad_row = -1;
}

template <typename T>
__global__ void check_kernel(const T* rows, int num_rows, int dimensions, int first_row, std::int32_t* bad_row) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row < num_rows && !is_finite_row(rows + static_cast<std::int64_t>(row) * dimensions, dimensions))
    atomicMin(bad_row, first_row + row);
}

int blocks(std::int64_t items, int each) { return static_cast<int>((items + each - 1) / each); }

}  // namespace

template <typename T>
void build_tree(const Build<T>& build, CUstream_st* stream) {
  const Tree<T>& tree = build.tree;
  if (tree.num_points > 0) {
    const bool split = tree.num_nodes[1] > 1;
    if (split) split_events(build, stream);
    const int bytes = GroupMemory::bytes(tree.dimensions);
    call(cudaFuncSetAttribute(group_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    if (split)
      launch_after(group_kernel<T>, tree.num_nodes[1], kThreads, bytes, stream, build, split);
    else
      group_kernel<T><<<1, kThreads, bytes, stream>>>(build, split);
    launch_after(region_kernel<T>, tree.num_nodes[2], 32, 0, stream, build);
  } else {
    region_kernel<T><<<1, 32, 0, stream>>>(build);
  }
  call(cudaGetLastError());
}

template <typename T>
void check_rows(const T* rows, int num_rows, int dimensions, int first_row, std::int32_t* bad_row,
                CUstream_st* stream) {
  if (num_rows == 0) return;
  check_kernel<T><<<blocks(num_rows, 256), 256, 0, stream>>>(rows, num_rows, dimensions, first_row, bad_row);
  call(cudaGetLastError());
}

template void build_tree(const Build<float>&, CUstream_st*);
template void build_tree(const Build<double>&, CUstream_st*);
template void check_rows(const float*, int, int, int, std::int32_t*, CUstream_st*);
template void check_rows(const double*, int, int, int, std::int32_t*, CUstream_st*);

}  // namespace starling::neighbors_cuda
