#pragma once

#include "starling/neighbors.h"

// What stands behind the public functions of neighbors.h, whose names these have, once they have checked their
// arguments: on the host (host/), or on a CUDA device (cuda/; without CUDA in the build no_cuda.cpp, which throws).
namespace starling::neighbors::host {

template <typename T>
std::size_t search_workspace_bytes(const NeighborSearch<T>& search);
template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace);
template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace);
/// Throws ErrorKind::usage where the workspace does not hold the tree of a search of these sizes.
template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace);

template <typename T>
std::size_t gradient_workspace_bytes(const NeighborLists<T>& lists);
template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace);
template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out);

}  // namespace starling::neighbors::host

namespace starling::neighbors::cuda {

template <typename T>
std::size_t search_workspace_bytes(const NeighborSearch<T>& search);
template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
         const Execution& execution);
template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace, const Execution& execution);
template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace, const Execution& execution);

template <typename T>
std::size_t gradient_workspace_bytes(const NeighborLists<T>& lists);
template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace, const Execution& execution);
template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out,
                      const Execution& execution);

}  // namespace starling::neighbors::cuda
