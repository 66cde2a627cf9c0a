#include "neighbors/cuda/wide.h"

#include "cuda/call.h"
#include "neighbors/check.h"
#include "neighbors/cuda/wide.cuh"
#include "neighbors/formulas.h"

// Like search.cu: every call but wide_fill() packs the points, then the kernels of wide_search.cuh multiply them.
namespace starling::neighbors::cuda {
namespace {

/// What the workspace holds.
template <typename T>
struct Arrays {
  Wide<T> wide;
  float* along = nullptr;  // [points, kAxes]
  Build<float> build;      // of the tree over `along`, of which the order is used
};

template <typename T>
Arrays<T> lay_out_arrays(const NeighborSearch<T>& search, memory::Layout& layout) {
  Arrays<T> arrays;
  Wide<T>& wide = arrays.wide;
  const auto dimensions = static_cast<std::size_t>(search.dimensions);
  const auto events = static_cast<std::size_t>(search.num_events);
  wide.points = search.points;
  wide.queries = search.queries;
  wide.num_points = search.num_points;
  wide.num_queries = num_rows(search);
  wide.dimensions = search.dimensions;
  wide.steps = steps_of<T>(search.dimensions, wide.num_queries);
  wide.chunks = (search.dimensions + wide.steps * kStepDimensions - 1) / (wide.steps * kStepDimensions);
  wide.row_splits = search.row_splits;
  wide.query_row_splits = search.query_row_splits;
  wide.num_events = search.num_events;
  wide.direction = search.direction;
  wide.loop = search.loop;
  wide.radius2 = max_distance2(search);

  wide.frame.centre = layout.take<T>(events * dimensions);
  wide.frame.exponent = layout.take<std::int32_t>(events);
  wide.frame.mean = layout.take<double>(dimensions);
  wide.frame.scale = layout.take<double>(1);
  wide.frame.axes = layout.take<float>(kAxes * dimensions);
  wide.frame.sample = layout.take<float>(kAxesSample * dimensions);
  arrays.along = layout.take<float>(static_cast<std::size_t>(search.num_points) * kAxes);
  NeighborSearch<float> along;
  along.points = arrays.along;
  along.num_points = search.num_points;
  along.dimensions = kAxes;
  along.row_splits = search.row_splits;
  along.num_events = search.num_events;
  along.direction = search.direction;
  lay_out(along, layout, arrays.build);
  wide.order = arrays.build.tree.order;
  const auto take = [&](int places) {
    const auto tiles = static_cast<std::size_t>(tiles_of(places));
    Packed packed;
    packed.halves = layout.take<uint4>(tiles * wide.chunks * wide.steps * kStepWords);
    packed.heads = layout.take<TileHead>(tiles);
    packed.norm = layout.take<float>(static_cast<std::size_t>(places));
    packed.error = layout.take<float>(static_cast<std::size_t>(places));
    return packed;
  };
  wide.packed_points = take(search.num_points);
  if (search.queries != nullptr) wide.packed_queries = take(search.num_queries);
  return arrays;
}

/// Describes the search. Packs its points in the workspace where a place for the bad row is given.
template <typename T>
Wide<T> prepare(const NeighborSearch<T>& search, std::int32_t* bad_row, std::span<std::byte> workspace,
                cudaStream_t stream) {
  memory::Layout layout(workspace);
  Arrays<T> arrays = lay_out_arrays(search, layout);
  if (bad_row == nullptr) return arrays.wide;
  call(cudaMemsetAsync(bad_row, kNoBadRowByte, sizeof(std::int32_t), stream));
  if (search.queries != nullptr)
    check_rows(search.queries, search.num_queries, search.dimensions, search.num_points, bad_row, stream);
  frame_points(arrays.wide, arrays.along, bad_row, stream);
  arrays.build.bad_row = bad_row;
  build_tree(arrays.build, stream);
  pack(arrays.wide, stream);
  return arrays.wide;
}

}  // namespace

template <typename T>
void wide_lay_out(const NeighborSearch<T>& search, memory::Layout& layout) {
  lay_out_arrays(search, layout);
}

template <typename T>
void wide_knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
              const Execution& execution) {
  Wide<T> wide = prepare(search, execution.bad_row, workspace, execution.stream);
  wide.k = k;
  wide.index = index;
  wide.distance2 = distance2;
  if (k > 0) search_wide(wide, execution.stream);
}

template <typename T>
void wide_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                std::span<std::byte> workspace, const Execution& execution) {
  Wide<T> wide = prepare(search, execution.bad_row, workspace, execution.stream);
  wide.k = max_neighbors;
  wide.count = count;
  wide.found = found;
  search_wide(wide, execution.stream);
}

template <typename T>
void wide_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
               T* distance2, std::span<std::byte> workspace, const Execution& execution) {
  Wide<T> wide = prepare(search, nullptr, workspace, execution.stream);
  wide.neighbor_row_splits = neighbor_row_splits;
  wide.index = index;
  wide.distance2 = distance2;
  search_wide(wide, execution.stream);
}

#define STARLING_INSTANTIATE(T)                                                                                        \
  template void wide_lay_out(const NeighborSearch<T>&, memory::Layout&);                                               \
  template void wide_knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>, const Execution&);    \
  template void wide_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*, std::span<std::byte>, \
                           const Execution&);                                                                          \
  template void wide_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>,      \
                          const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::cuda
