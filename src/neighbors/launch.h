#pragma once

#include <cuda_runtime_api.h>

namespace starling::neighbors_cuda {

template <typename T>
struct Search;

/// The k nearest, for lists of up to largest_k.
template <typename T, int kDimensions>
void launch_nearest(const Search<T>& search, int largest_k, cudaStream_t stream);
/// The number of neighbours within the radius.
template <typename T, int kDimensions>
void launch_count(const Search<T>& search, cudaStream_t stream);

}  // namespace starling::neighbors_cuda
