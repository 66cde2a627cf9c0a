#include "starling/neighbors.h"

#include "memory/layout.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"

// The public functions: each checks its arguments, then calls its namesake of the device that it is to run on.
namespace starling {

using namespace neighbors;

namespace {

template <typename T>
std::size_t search_workspace_bytes(const NeighborSearch<T>& search, const Execution& execution, const char* function) {
  check_search(search, execution, function);
  return execution.device == Device::cuda ? cuda::search_workspace_bytes(search) : host::search_workspace_bytes(search);
}

template <typename T>
std::size_t gradient_workspace_bytes(const NeighborLists<T>& lists, const Execution& execution) {
  return execution.device == Device::cuda ? cuda::gradient_workspace_bytes(lists)
                                          : host::gradient_workspace_bytes(lists);
}

/// Checks a search and its workspace and, where it is the first to see them, the values of its arrays.
template <typename T>
void check_call(const NeighborSearch<T>& search, std::span<std::byte> workspace, const Execution& execution, bool first,
                const char* function) {
  memory::check_workspace(workspace, search_workspace_bytes(search, execution, function), function);
  if (!first) return;
  if (execution.device == Device::cuda) {
    check_not_null(execution.bad_row, 1, "execution.bad_row", function);
  } else {
    check_values(search, function);
  }
}

}  // namespace

template <typename T>
std::size_t knn_workspace_bytes(const NeighborSearch<T>& search, int k, const Execution& execution) {
  const char* const function = "knn_workspace_bytes";
  check_k(search, k, function);
  return search_workspace_bytes(search, execution, function);
}

template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
         const Execution& execution) {
  const char* const function = "knn";
  check_k(search, k, function);
  check_call(search, workspace, execution, true, function);
  const std::int64_t entries = static_cast<std::int64_t>(num_rows(search)) * k;
  check_not_null(index, entries, "index", function);
  check_not_null(distance2, entries, "distance2", function);
  if (execution.device == Device::cuda)
    cuda::knn(search, k, index, distance2, workspace, execution);
  else
    host::knn(search, k, index, distance2, workspace);
}

template <typename T>
std::size_t radius_workspace_bytes(const NeighborSearch<T>& search, const Execution& execution) {
  const char* const function = "radius_workspace_bytes";
  return search_workspace_bytes(search, execution, function);
}

template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "radius_count";
  check_max_neighbors(max_neighbors, function);
  check_call(search, workspace, execution, true, function);
  check_not_null(count, num_rows(search), "count", function);
  if (execution.device == Device::cuda)
    cuda::radius_count(search, max_neighbors, count, found, workspace, execution);
  else
    host::radius_count(search, max_neighbors, count, found, workspace);
}

template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "radius_fill";
  check_call(search, workspace, execution, false, function);
  check_not_null(neighbor_row_splits, std::int64_t{num_rows(search)} + 1, "neighbor_row_splits", function);
  if (execution.device == Device::cuda) {
    cuda::radius_fill(search, neighbor_row_splits, index, distance2, workspace, execution);
  } else {
    check_list_sizes(search, neighbor_row_splits, function);
    check_not_null(index, neighbor_row_splits[num_rows(search)], "index", function);
    check_not_null(distance2, neighbor_row_splits[num_rows(search)], "distance2", function);
    host::radius_fill(search, neighbor_row_splits, index, distance2, workspace);
  }
}

template <typename T>
std::size_t distance_gradient_workspace_bytes(const NeighborLists<T>& lists, const Execution& execution) {
  const char* const function = "distance_gradient_workspace_bytes";
  check_device(execution, function);
  check_sizes(lists, function);
  return gradient_workspace_bytes(lists, execution);
}

template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "distance_gradient";
  check_device(execution, function);
  check_sizes(lists, function);
  memory::check_workspace(workspace, gradient_workspace_bytes(lists, execution), function);
  check_not_null(weight, num_entries(lists), "weight", function);
  if (execution.device == Device::cuda) {
    cuda::distance_gradient(lists, weight, points_gradient, queries_gradient, workspace, execution);
  } else {
    check_values(lists, function);
    host::distance_gradient(lists, weight, points_gradient, queries_gradient, workspace);
  }
}

template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out,
                      const Execution& execution) {
  const char* const function = "distance_tangent";
  check_device(execution, function);
  check_sizes(lists, function);
  check_not_null(out, num_entries(lists), "out", function);
  if (execution.device == Device::cuda) {
    cuda::distance_tangent(lists, points_tangent, queries_tangent, out, execution);
  } else {
    check_values(lists, function);
    host::distance_tangent(lists, points_tangent, queries_tangent, out);
  }
}

#define STARLING_INSTANTIATE(T)                                                                                       \
  template std::size_t knn_workspace_bytes(const NeighborSearch<T>&, int, const Execution&);                          \
  template void knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>, const Execution&);        \
  template std::size_t radius_workspace_bytes(const NeighborSearch<T>&, const Execution&);                            \
  template void radius_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*,                    \
                             std::span<std::byte>, const Execution&);                                                 \
  template void radius_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>,   \
                            const Execution&);                                                                        \
  template std::size_t distance_gradient_workspace_bytes(const NeighborLists<T>&, const Execution&);                  \
  template void distance_gradient(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>, const Execution&); \
  template void distance_tangent(const NeighborLists<T>&, const T*, const T*, T*, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling
