#pragma once

#include <cuda_runtime.h>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "neighbors/cuda/long_lists.cuh"
#include "neighbors/cuda/search.h"

// Instantiated by search_4.cu, search_8.cu, search_10.cu and search_12.cu, for rows padded to so many dimensions.
namespace starling::neighbors::cuda {

template <int kMaxNeighbors, typename T, int kDimensions>
void launch_lists(const Search<T>& search, int above, cudaStream_t stream) {
  constexpr int threads = kSearchThreads<kMaxNeighbors>;
  launch_after(nearest_kernel<T, kDimensions, kMaxNeighbors>, blocks_of(search.num_queries, threads / 32), threads, 0,
               stream, search, above);
}

template <typename T, int kDimensions>
void launch_nearest(const Search<T>& search, int largest_k, cudaStream_t stream) {
  const auto* const each_size = search.neighbor_row_splits;
  // Doubles get fewer sizes of list: they take long to compile and are for checking more than for speed.
  if constexpr (sizeof(T) == 4) {
    if (each_size == nullptr && largest_k <= 32) launch_lists<32, T, kDimensions>(search, 0, stream);
    if (each_size == nullptr && largest_k > 64 && largest_k <= 128)
      launch_lists<128, T, kDimensions>(search, 0, stream);
    if (each_size == nullptr && largest_k > 128 && largest_k <= 256)
      launch_lists<256, T, kDimensions>(search, 0, stream);
  }
  const int small = sizeof(T) == 4 && each_size == nullptr ? 32 : 0;
  const int medium = sizeof(T) == 4 && each_size == nullptr ? 256 : 64;
  if (each_size != nullptr || (largest_k > small && largest_k <= 64))
    launch_lists<64, T, kDimensions>(search, 0, stream);
  if (largest_k > medium && (each_size != nullptr || largest_k <= kMaxWarpNeighbors))
    launch_lists<kMaxWarpNeighbors, T, kDimensions>(search, 64, stream);
  if (largest_k > kMaxWarpNeighbors)
    long_kernel<T, kDimensions><<<blocks_of(search.num_queries, kLongThreads / 32), kLongThreads, 0, stream>>>(search);
  call(cudaGetLastError());
}

template <typename T, int kDimensions>
void launch_count(const Search<T>& search, cudaStream_t stream) {
  count_kernel<T, kDimensions><<<blocks_of(search.num_queries, kCountThreads / 32), kCountThreads, 0, stream>>>(search);
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE_SEARCH(kDimensions)                                               \
  template void launch_nearest<float, kDimensions>(const Search<float>&, int, cudaStream_t);   \
  template void launch_nearest<double, kDimensions>(const Search<double>&, int, cudaStream_t); \
  template void launch_count<float, kDimensions>(const Search<float>&, cudaStream_t);          \
  template void launch_count<double, kDimensions>(const Search<double>&, cudaStream_t)

}  // namespace starling::neighbors::cuda
