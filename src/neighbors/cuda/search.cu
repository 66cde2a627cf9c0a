#include <cuda_runtime_api.h>

#include "cuda/call.h"
#include "memory/layout.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"
#include "neighbors/cuda/build.cuh"
#include "neighbors/cuda/search.h"
#include "neighbors/cuda/wide.h"
#include "neighbors/formulas.h"

// Every call but radius_fill() builds the tree (build.cu), then one warp per query walks it (search.cuh). Nothing here
// waits for the device.
namespace starling::neighbors::cuda {
namespace {

// Describes the search. Builds its tree in the workspace where a place for the bad row is given.
template <typename T>
Search<T> prepare(const NeighborSearch<T>& search, std::int32_t* bad_row, std::span<std::byte> workspace,
                  cudaStream_t stream) {
  Build<T> build;
  memory::Layout layout(workspace);
  lay_out(search, layout, build);
  build.bad_row = bad_row;
  if (bad_row != nullptr) {
    call(cudaMemsetAsync(bad_row, kNoBadRowByte, sizeof(std::int32_t), stream));
    if (search.queries != nullptr)
      check_rows(search.queries, search.num_queries, search.dimensions, search.num_points, bad_row, stream);
    build_tree(build, stream);
  }

  Search<T> result;
  result.tree = build.tree;
  result.row_splits = search.row_splits;
  result.num_events = search.num_events;
  result.queries = search.queries;
  result.num_queries = num_rows(search);
  result.query_row_splits = search.query_row_splits;
  result.direction = build.direction;
  result.loop = search.loop;
  result.radius2 = max_distance2(search);
  return result;
}

template <typename T>
void run_nearest(const Search<T>& search, int largest_k, cudaStream_t stream) {
  if (search.num_queries == 0 || largest_k == 0) return;
  with_padded_dimensions(Padded(), search.tree.dimensions,
                         [&]<int kPadded>() { launch_nearest<T, kPadded>(search, largest_k, stream); });
}

}  // namespace

template <typename T>
std::size_t search_workspace_bytes(const NeighborSearch<T>& search) {
  memory::Layout layout;
  if (is_wide(search)) {
    wide_lay_out(search, layout);
  } else {
    Build<T> build;
    lay_out(search, layout, build);
  }
  return layout.bytes();
}

template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
         const Execution& execution) {
  if (is_wide(search)) return wide_knn(search, k, index, distance2, workspace, execution);
  Search<T> device = prepare(search, execution.bad_row, workspace, execution.stream);
  device.k = k;
  device.index = index;
  device.distance2 = distance2;
  run_nearest(device, k, execution.stream);
}

template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace, const Execution& execution) {
  if (is_wide(search)) return wide_count(search, max_neighbors, count, found, workspace, execution);
  Search<T> device = prepare(search, execution.bad_row, workspace, execution.stream);
  device.k = max_neighbors;
  device.count = count;
  device.found = found;
  if (device.num_queries == 0) return;
  with_padded_dimensions(Padded(), search.dimensions,
                         [&]<int kPadded>() { launch_count<T, kPadded>(device, execution.stream); });
}

template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace, const Execution& execution) {
  if (is_wide(search)) return wide_fill(search, neighbor_row_splits, index, distance2, workspace, execution);
  Search<T> device = prepare(search, nullptr, workspace, execution.stream);
  device.neighbor_row_splits = neighbor_row_splits;
  device.index = index;
  device.distance2 = distance2;
  run_nearest(device, search.num_points, execution.stream);
}

#define STARLING_INSTANTIATE(T)                                                                                     \
  template std::size_t search_workspace_bytes(const NeighborSearch<T>&);                                            \
  template void knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>, const Execution&);      \
  template void radius_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*,                  \
                             std::span<std::byte>, const Execution&);                                               \
  template void radius_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>, \
                            const Execution&);
STARLING_INSTANTIATE(float)
STARLING_INSTANTIATE(double)
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::cuda
