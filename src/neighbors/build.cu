#include "neighbors/build.cuh"

#include <cuda_runtime.h>

#include <cstdint>

#include "neighbors/cuda_call.h"
#include "neighbors/launch_after.cuh"
#include "neighbors/split.cuh"
#include "neighbors/split_group.cuh"

// The tree adapts to the points: every split is near a median of the widest dimension, so that clusters cost nothing.
//   1. split.cuh: events larger than a group are split by the whole device, down to groups.
//   2. split_group.cuh: a block a group, down to leaves and their quarters, in shared memory.
//   3. Here: the boxes.
namespace starling::neighbors_cuda {
namespace {

constexpr int kThreads = kGroupPoints;

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

/// Whether this block is the last to get here: it may read what all others have written.
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

/// Boxes of the regions, one a warp, the quarter leaf without points, and the last word on the rows.
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

  // A leaf a warp. The points past the last stayed behind all others.
  const int leaf = place / kLeafPoints;
  const std::int32_t row = real ? rows[item] : -1;
  const std::int8_t direction = real && build.direction != nullptr ? build.direction[row] : std::int8_t{0};
  const bool candidate = real && (direction == 0 || direction == 1);
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
  if (lane < padded) {
    box[0][lane][warp] = low;
    box[1][lane][warp] = high;
  }
  __syncthreads();
  if (warp < padded && static_cast<int>(blockIdx.x) < tree.num_nodes[kGroupLevel]) {
    const T group_low = warp_lowest(box[0][warp][lane]);
    const T group_high = -warp_lowest(-box[1][warp][lane]);
    if (lane == 0) {
      tree.low[kGroupLevel][blockIdx.x * padded + warp] = group_low;
      tree.high[kGroupLevel][blockIdx.x * padded + warp] = group_high;
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

int blocks(std::int64_t items, int each) { return static_cast<int>((items + each - 1) / each); }

}  // namespace

template <typename T>
void build_tree(Build<T> build, CUstream_st* stream) {
  const Tree<T>& tree = build.tree;
  build.in_fours = tree.dimensions % 4 == 0 && reinterpret_cast<std::uintptr_t>(tree.points) % sizeof(float4) == 0;
  const bool split = tree.num_nodes[kGroupLevel] > 1;
  if (split) split_events(build, stream);
  const int bytes = GroupMemory::bytes(tree.dimensions);
  call(cudaFuncSetAttribute(group_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
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
  check_kernel<T><<<blocks(num_rows, 256), 256, 0, stream>>>(rows, num_rows, dimensions, first_row, bad_row);
  call(cudaGetLastError());
}

template void build_tree(Build<float>, CUstream_st*);
template void build_tree(Build<double>, CUstream_st*);
template void check_rows(const float*, int, int, int, std::int32_t*, CUstream_st*);
template void check_rows(const double*, int, int, int, std::int32_t*, CUstream_st*);

}  // namespace starling::neighbors_cuda
