#pragma once

#include <cstdint>
#include <limits>

#include "cuda/warp.cuh"
#include "tracks/walk.h"

// The threads that work on one component together: a warp, or a block. All of them call each function.
namespace starling::tracks::cuda {

using starling::cuda::kWarp;

inline constexpr int kThreads = 256;  ///< per block
inline constexpr int kWarps = kThreads / 32;
inline constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();

/// A start of the walk: none where `node` is none.
struct Start {
  Way way;
  std::int32_t node;
};
__device__ inline Start no_start() { return {{0, -1, 0}, kMost}; }
__device__ inline Start first_of(const Start& a, const Start& b) {
  return before(b.way, b.node, a.way, a.node) ? b : a;
}

struct WarpGroup {
  static constexpr int kSize = 32;

  __device__ int thread() const { return static_cast<int>(threadIdx.x % 32); }
  __device__ void sync() const { __syncwarp(); }
  /// A barrier too, as is that of a block.
  __device__ bool any(bool value) const {
    __syncwarp();
    return __any_sync(kWarp, value) != 0;
  }
  __device__ int sum(int value) const { return __reduce_add_sync(kWarp, value); }
  __device__ int min(int value) const { return __reduce_min_sync(kWarp, value); }
  /// What the first thread has.
  __device__ int first(int value) const { return __shfl_sync(kWarp, value, 0); }
  /// A barrier too.
  __device__ Start best(Start start) const {
    __syncwarp();
    for (int step = 16; step > 0; step /= 2) {
      Start other = no_start();
      other.way.hits = __shfl_xor_sync(kWarp, start.way.hits, step);
      other.way.score = __shfl_xor_sync(kWarp, start.way.score, step);
      other.node = __shfl_xor_sync(kWarp, start.node, step);
      start = first_of(start, other);
    }
    return start;
  }
};

struct BlockGroup {
  static constexpr int kSize = kThreads;
  struct Scratch {
    Start starts[kWarps];
    int values[kWarps];
  };
  Scratch* scratch;  ///< shared

  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ void sync() const { __syncthreads(); }
  __device__ bool any(bool value) const { return __syncthreads_or(value ? 1 : 0) != 0; }
  __device__ int sum(int value) const {
    return over_warps(WarpGroup().sum(value), 0, [](int a, int b) { return a + b; });
  }
  __device__ int min(int value) const {
    return over_warps(WarpGroup().min(value), kMost, [](int a, int b) { return a < b ? a : b; });
  }
  __device__ int first(int value) const {
    if (thread() == 0) scratch->values[0] = value;
    __syncthreads();
    const int first = scratch->values[0];
    __syncthreads();
    return first;
  }
  __device__ Start best(Start start) const {
    start = WarpGroup().best(start);
    if (threadIdx.x % 32 == 0) scratch->starts[threadIdx.x / 32] = start;
    __syncthreads();
    Start best = no_start();
    for (int warp = 0; warp < kWarps; ++warp) best = first_of(best, scratch->starts[warp]);
    __syncthreads();
    return best;
  }

 private:
  template <typename Join>
  __device__ int over_warps(int value, int start, const Join& join) const {
    if (threadIdx.x % 32 == 0) scratch->values[threadIdx.x / 32] = value;
    __syncthreads();
    int result = start;
    for (int warp = 0; warp < kWarps; ++warp) result = join(result, scratch->values[warp]);
    __syncthreads();
    return result;
  }
};

/// Sorts an array that the group shares in ascending order (bitonic; each merge begins with mirror images, so that all
/// ascend and what lies beyond the end may be thought of as infinite). Its writes of before are done, and seen, after.
template <typename Group, typename Value, typename Less>
__device__ void sort(const Group& group, Value* values, std::int32_t size, const Less& less) {
  group.sync();
  bool falls = false;
  for (std::int32_t i = group.thread() + 1; i < size; i += Group::kSize) falls |= less(values[i], values[i - 1]);
  if (!group.any(falls)) return;
  std::int64_t padded = 1;
  while (padded < size) padded *= 2;
  for (std::int64_t length = 2; length <= padded; length *= 2) {
    for (std::int64_t step = length / 2; step > 0; step /= 2) {
      for (std::int64_t pair = group.thread(); pair < padded / 2; pair += Group::kSize) {
        const std::int64_t within = pair & (step - 1);  // steps are powers of two: no division
        const std::int64_t low = 2 * pair - within;
        const std::int64_t high = step == length / 2 ? low + length - 1 - 2 * within : low + step;
        if (high >= size || !less(values[high], values[low])) continue;
        const Value value = values[low];
        values[low] = values[high];
        values[high] = value;
      }
      group.sync();
    }
  }
}

}  // namespace starling::tracks::cuda
