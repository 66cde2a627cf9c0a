#include <cuda_runtime_api.h>

#include <algorithm>

#include "cuda/call.h"
#include "memory/layout.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"
#include "neighbors/cuda/build.cuh"
#include "neighbors/cuda/search.h"
#include "neighbors/formulas.h"

// Every call but radius_fill() builds the tree (build.cu), then one warp per query walks it (search.cuh). Nothing here
// waits for the device.
namespace starling::neighbors::cuda {
namespace {

template <typename T>
std::size_t lay_out(const NeighborSearch<T>& search, Build<T>& build, std::span<std::byte> memory) {
  memory::Layout layout(memory);
  const std::size_t n = search.num_points;
  const int padded = padded_dimensions(Padded(), search.dimensions);
  const bool copied = is_copied<T>(padded);
  Tree<T>& tree = build.tree;
  std::size_t nodes = n;
  for (int level = kLeafLevel; level < kLevels; ++level) {
    nodes = (nodes + kChildren - 1) / kChildren;
    tree.num_nodes[level] = static_cast<int>(nodes);
  }
  tree.num_nodes[kQuarterLevel] = tree.num_nodes[kLeafLevel] * kQuarters;
  for (int level = 0; level < kLevels; ++level) {
    tree.low[level] = layout.take<T>(static_cast<std::size_t>(tree.num_nodes[level]) * padded);
    tree.high[level] = layout.take<T>(static_cast<std::size_t>(tree.num_nodes[level]) * padded);
  }
  for (const int level : {kGroupLevel, kRegionLevel})
    tree.num_candidates[level] = layout.take<std::int32_t>(static_cast<std::size_t>(tree.num_nodes[level]));
  tree.min_row = layout.take<std::int32_t>(static_cast<std::size_t>(tree.num_nodes[kGroupLevel]));
  const std::size_t places = tree.num_places();
  tree.order = layout.take<std::int32_t>(places);
  Split& split = build.split;
  const std::size_t groups = tree.num_nodes[kGroupLevel];
  split.events = layout.take<int4>(groups);
  split.finished = layout.take<std::int32_t>(1);
  // Splitting is over before the copies are written.
  const std::size_t copies = copied ? places * padded * sizeof(T) : 0;
  const std::size_t zeroed = groups * (kHistogram + 3) * sizeof(std::uint32_t);
  const std::size_t cells = groups * search.dimensions * sizeof(float2);
  const std::size_t splitting = groups > 1 ? zeroed + cells + n * sizeof(std::int32_t) : 0;
  std::byte* const shared = layout.take<std::byte>(std::max(copies, splitting));
  tree.sorted = copied ? reinterpret_cast<T*>(shared) : nullptr;
  split.cells = reinterpret_cast<float2*>(shared);
  split.zeroed = split.histogram = reinterpret_cast<std::uint32_t*>(shared + cells);
  split.zeroed_bytes = zeroed;
  split.sides = reinterpret_cast<std::int32_t*>(split.histogram + groups * kHistogram);
  split.other_order = split.sides + groups * 3;
  return layout.bytes();
}

// Describes the search. Builds its tree in the workspace where a place for the bad row is given.
template <typename T>
Search<T> prepare(const NeighborSearch<T>& search, std::int32_t* bad_row, std::span<std::byte> workspace,
                  cudaStream_t stream) {
  Build<T> build;
  lay_out(search, build, workspace);
  build.tree.num_points = search.num_points;
  build.tree.dimensions = search.dimensions;
  build.tree.points = search.points;
  build.row_splits = search.row_splits;
  build.num_events = search.num_events;
  build.direction = search.direction;
  build.padded = padded_dimensions(Padded(), search.dimensions);
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
  Build<T> build;
  return lay_out(search, build, {});
}

template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
         const Execution& execution) {
  Search<T> device = prepare(search, execution.bad_row, workspace, execution.stream);
  device.k = k;
  device.index = index;
  device.distance2 = distance2;
  run_nearest(device, k, execution.stream);
}

template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace, const Execution& execution) {
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
