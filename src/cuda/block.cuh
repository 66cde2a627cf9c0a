#pragma once

#include <cstdint>

#include "cuda/warp.cuh"

// Sums over the threads of a block. All of its threads must call them.
namespace starling::cuda {

/// Entries of a scan per block; the sums of so many are added up by the kernel before.
inline constexpr int kScanned = 1024;

/// The sum over all threads, in each of them: of the lanes of a warp, then of the warps in order.
template <typename T>
__device__ T block_sum(T value) {
  __shared__ T of_warps[32];
  value = warp_sum(value);
  __syncthreads();  // an earlier call has been read
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  T sum = of_warps[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) sum += of_warps[warp];
  return sum;
}

/// The sum over the threads before this one; `total` is that over all.
__device__ inline std::uint32_t sum_before(std::uint32_t value, std::uint32_t& total) {
  __shared__ std::uint32_t of_warps[32];
  const std::uint32_t upto = sum_upto(value);
  __syncthreads();  // an earlier call has been read
  if (threadIdx.x % 32 == 31) of_warps[threadIdx.x / 32] = upto;
  __syncthreads();
  std::uint32_t before = 0;
  total = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) {
    if (warp == threadIdx.x / 32) before = total;
    total += of_warps[warp];
  }
  return before + upto - value;
}

/// Places for the threads of a block, `value` each, in an array of which `*taken` entries are taken.
__device__ inline unsigned long long take_places(std::uint32_t value, unsigned long long* taken) {
  __shared__ unsigned long long first;
  std::uint32_t total;
  const std::uint32_t before = sum_before(value, total);
  if (threadIdx.x == 0) first = total > 0 ? atomicAdd(taken, total) : 0;
  __syncthreads();
  return first + before;
}

/// The sum of `sums[0..count)`, in all threads.
__device__ inline std::uint32_t sum_of(const std::int32_t* sums, int count) {
  unsigned long long sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += static_cast<std::uint32_t>(sums[i]);
  return static_cast<std::uint32_t>(block_sum(sum));
}

}  // namespace starling::cuda
