#pragma once

#include <span>

#include "memory/layout.h"
#include "neighbors/cuda/tree.cuh"
#include "starling/neighbors.h"

// Searches in many dimensions, for which boxes are no use: what the functions of backends.h call instead.
namespace starling::neighbors::cuda {

template <typename T>
bool is_wide(const NeighborSearch<T>& search) {
  return search.dimensions > kMaxPadded;
}

template <typename T>
void wide_lay_out(const NeighborSearch<T>& search, memory::Layout& layout);
template <typename T>
void wide_knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
              const Execution& execution);
template <typename T>
void wide_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                std::span<std::byte> workspace, const Execution& execution);
template <typename T>
void wide_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
               T* distance2, std::span<std::byte> workspace, const Execution& execution);

}  // namespace starling::neighbors::cuda
