#pragma once

#include <cuda_runtime_api.h>

#include "neighbors/cuda/tree.cuh"

namespace starling::neighbors::cuda {

/// A search as the kernels see it: the tree is built.
template <typename T>
struct Search {
  Tree<T> tree;
  const std::int32_t* row_splits = nullptr;
  int num_events = 1;
  const T* queries = nullptr;  // nullptr: the points are the queries
  int num_queries = 0;
  const std::int32_t* query_row_splits = nullptr;
  const Direction* direction = nullptr;
  bool loop = true;
  T radius2 = 0;
  int k = 0;                                          // knn; radius_count: the largest count
  const std::int64_t* neighbor_row_splits = nullptr;  // radius_fill: replaces k
  std::int32_t* index = nullptr;
  T* distance2 = nullptr;
  std::int32_t* count = nullptr;
  std::int32_t* found = nullptr;
};

/// The k nearest, for lists of up to largest_k.
template <typename T, int kDimensions>
void launch_nearest(const Search<T>& search, int largest_k, cudaStream_t stream);
/// The number of neighbours within the radius.
template <typename T, int kDimensions>
void launch_count(const Search<T>& search, cudaStream_t stream);

}  // namespace starling::neighbors::cuda
