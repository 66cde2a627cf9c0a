#pragma once

#include <cuda_runtime.h>

#include "neighbors/cuda_call.h"
#include "neighbors/large_k.cuh"
#include "neighbors/launch.h"
#include "neighbors/launch_after.cuh"

// Instantiated by search_4.cu, search_8.cu, search_10.cu and search_16.cu, for rows padded to so many dimensions.
namespace starling::neighbors_cuda {

inline int blocks_of_queries(int num_queries) {
  constexpr int in_block = kSearchThreads / 32;
  return (num_queries + in_block - 1) / in_block;
}

template <typename T, int kDimensions>
void launch_nearest(const Search<T>& search, int largest_k, cudaStream_t stream) {
  const int blocks = blocks_of_queries(search.num_queries);
  const auto run = [&](auto kernel, int above) {
    launch_after(kernel, blocks, kSearchThreads, 0, stream, search, above);
  };
  const auto* const each_size = search.neighbor_row_splits;
  // Doubles get fewer sizes of list: they take long to compile and are for checking more than for speed.
  if constexpr (sizeof(T) == 4) {
    if (each_size == nullptr && largest_k <= 32) run(nearest_kernel<T, kDimensions, 32>, 0);
    if (each_size == nullptr && largest_k > 64 && largest_k <= 128) run(nearest_kernel<T, kDimensions, 128>, 0);
  }
  const int small = sizeof(T) == 4 && each_size == nullptr ? 32 : 0;
  const int medium = sizeof(T) == 4 && each_size == nullptr ? 128 : 64;
  if (each_size != nullptr || (largest_k > small && largest_k <= 64)) run(nearest_kernel<T, kDimensions, 64>, 0);
  if (largest_k > medium && (each_size != nullptr || largest_k <= kMaxWarpNeighbors))
    run(nearest_kernel<T, kDimensions, kMaxWarpNeighbors>, 64);
  if (largest_k > kMaxWarpNeighbors)
    large_kernel<T, kDimensions><<<search.num_queries, kLargeThreads, 0, stream>>>(search);
  call(cudaGetLastError());
}

template <typename T, int kDimensions>
void launch_count(const Search<T>& search, cudaStream_t stream) {
  count_kernel<T, kDimensions><<<blocks_of_queries(search.num_queries), kSearchThreads, 0, stream>>>(search);
  call(cudaGetLastError());
}

}  // namespace starling::neighbors_cuda
