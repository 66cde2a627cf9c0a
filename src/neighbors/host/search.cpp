#include "neighbors/host/search.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_sort.h>

#include <algorithm>
#include <memory>

#include "memory/layout.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"
#include "neighbors/formulas.h"
#include "neighbors/host/tree.h"
#include "starling/device.h"
#include "starling/error.h"

// The searches on the host: a tree in the workspace (tree.cpp), then each query walks it (search_kernel.h).
namespace starling::neighbors::host {
namespace {

constexpr std::int32_t kQueriesPerTask = 64;

template <typename T>
Kernels<T> kernels() {
  Kernels<T> result;
  switch (simd_level()) {
#if defined(__x86_64__)
    case SimdLevel::avx2:
      get_kernels_avx2(result);
      break;
    case SimdLevel::avx512:
      get_kernels_avx512(result);
      break;
#endif
    default:
      get_kernels_reference(result);
  }
  return result;
}

/// What radius_count() leaves in the workspace for radius_fill(), beside the tree.
struct Prepared {
  static constexpr std::uint64_t kMark = 0x5354'4152'4C49'4E47;
  std::uint64_t mark;
  std::uint32_t scalar_bytes;
  std::int32_t num_points, num_rows, num_events, dimensions;
  std::int64_t starts;  ///< number of queries in tree.starts
  bool operator==(const Prepared&) const = default;

  template <typename T>
  static Prepared of(const NeighborSearch<T>& search, std::int64_t starts) {
    return {kMark, sizeof(T), search.num_points, neighbors::num_rows(search), search.num_events, search.dimensions,
            starts};
  }
};

template <typename T>
std::size_t lay_out(const NeighborSearch<T>& search, std::span<std::byte> memory, Prepared*& prepared, Tree<T>& tree) {
  memory::Layout layout(memory);
  prepared = layout.take<Prepared>(1);
  lay_out(search, layout, tree);
  return layout.bytes();
}

/// Fills tree.starts for queries that are not just the points: each with a leaf near it, in order of the leaves.
/// Returns their number.
template <typename T>
std::int64_t order_queries(const NeighborSearch<T>& search, const Job<T>& job, const Kernels<T>& kernels) {
  const bool self = search.queries == nullptr;
  const std::int32_t* const splits = self ? search.row_splits : search.query_row_splits;
  Start* const starts = job.tree->starts;
  std::int64_t count = 0;
  for (std::int32_t event = 0; event < search.num_events; ++event) {
    const std::int32_t begin = splits != nullptr ? splits[event] : 0;
    const std::int32_t end = splits != nullptr ? splits[event + 1] : num_rows(search);
    const std::int64_t first = count;
    for (std::int32_t row = begin; row < end; ++row) {
      if (has_neighbors(search.direction, row)) starts[count++] = {row, -1};
    }
    const std::int32_t root = job.tree->node_begin[event];
    if (root == job.tree->node_begin[event + 1]) continue;
    tbb::parallel_for(tbb::blocked_range<std::int64_t>(first, count, kQueriesPerTask), [&](const auto& range) {
      kernels.find_leaves(job, root, starts + range.begin(), range.end() - range.begin());
    });
  }
  tbb::parallel_sort(starts, starts + count,
                     [](const Start& a, const Start& b) { return a.leaf != b.leaf ? a.leaf < b.leaf : a.row < b.row; });
  return count;
}

template <typename T>
Job<T> job_of(const NeighborSearch<T>& search, const Tree<T>& tree) {
  const bool self = search.queries == nullptr;
  return {.tree = &tree,
          .queries = self ? search.points : search.queries,
          .num_points = search.num_points,
          .self = self,
          .loop = search.loop,
          .max_distance2 = max_distance2(search),
          .k = 0,
          .row_splits = nullptr,
          .index = nullptr,
          .distance2 = nullptr};
}

/// Builds the tree in the workspace and orders the queries. Returns their number.
template <typename T>
std::int64_t prepare(const NeighborSearch<T>& search, std::span<std::byte> workspace, const Kernels<T>& kernels,
                     Tree<T>& tree) {
  Prepared* prepared = nullptr;
  lay_out(search, workspace, prepared, tree);
  build(search, tree);
  const bool in_tree_order = search.queries == nullptr && search.direction == nullptr;
  const std::int64_t queries = in_tree_order ? search.num_points : order_queries(search, job_of(search, tree), kernels);
  *prepared = Prepared::of(search, queries);
  return queries;
}

/// Writes rows for the queries; those of points that have no neighbours stay as they are.
template <typename T>
void run_nearest(const Job<T>& job, std::int64_t queries, const Kernels<T>& kernels) {
  const Start* const starts = job.tree->starts;
  tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, queries, kQueriesPerTask), [&](const auto& range) {
    std::int64_t most = job.k;
    if (job.row_splits != nullptr) {
      for (std::int64_t i = range.begin(); i < range.end(); ++i) {
        most = std::max(most, job.row_splits[starts[i].row + 1] - job.row_splits[starts[i].row]);
      }
    }
    const std::int64_t want = wanted(job, most);
    constexpr auto kEntries = static_cast<std::size_t>(scratch_entries(kStackRow));
    T stack_distance2[kEntries];
    std::int32_t stack_index[kEntries];
    std::unique_ptr<T[]> distance2;
    std::unique_ptr<std::int32_t[]> index;
    if (want > kStackRow) {
      distance2.reset(new T[static_cast<std::size_t>(scratch_entries(want))]);
      index.reset(new std::int32_t[static_cast<std::size_t>(scratch_entries(want))]);
    }
    kernels.nearest(job, starts + range.begin(), range.end() - range.begin(),
                    {distance2 ? distance2.get() : stack_distance2, index ? index.get() : stack_index});
  });
}

}  // namespace

template <typename T>
std::size_t search_workspace_bytes(const NeighborSearch<T>& search) {
  Prepared* prepared = nullptr;
  Tree<T> tree;
  return lay_out(search, {}, prepared, tree);
}

template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace) {
  const Kernels<T> kernels = host::kernels<T>();
  Tree<T> tree;
  const std::int64_t queries = prepare(search, workspace, kernels, tree);
  Job<T> job = job_of(search, tree);
  job.k = k;
  job.index = index;
  job.distance2 = distance2;
  run_nearest(job, queries, kernels);
  if (search.direction == nullptr) return;
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, search.num_points), [&](const auto& rows) {
    for (std::int32_t row = rows.begin(); row < rows.end(); ++row) {
      if (has_neighbors(search.direction, row)) continue;
      std::fill_n(index + static_cast<std::size_t>(row) * k, k, -1);
      std::fill_n(distance2 + static_cast<std::size_t>(row) * k, k, std::numeric_limits<T>::infinity());
    }
  });
}

template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace) {
  const Kernels<T> kernels = host::kernels<T>();
  Tree<T> tree;
  const std::int64_t queries = prepare(search, workspace, kernels, tree);
  const Job<T> job = job_of(search, tree);
  tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, queries, kQueriesPerTask), [&](const auto& range) {
    kernels.count(job, tree.starts + range.begin(), range.end() - range.begin(), count);
  });
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, num_rows(search)), [&](const auto& rows) {
    for (std::int32_t row = rows.begin(); row < rows.end(); ++row) {
      if (!has_neighbors(search.direction, row))
        count[row] = 0;
      else if (job.self)
        count[row] += (search.loop ? 1 : 0) - (is_neighbor(search.direction, row) ? 1 : 0);
      if (found != nullptr) found[row] = count[row];
      count[row] = std::min(count[row], max_neighbors);
    }
  });
}

template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace) {
  Prepared* prepared = nullptr;
  Tree<T> tree;
  lay_out(search, workspace, prepared, tree);
  if (*prepared != Prepared::of(search, prepared->starts)) {
    throw Error(ErrorKind::usage,
                "radius_fill: the workspace holds no tree of this search: expected it as radius_count() left it");
  }
  Job<T> job = job_of(search, tree);
  job.row_splits = neighbor_row_splits;
  job.index = index;
  job.distance2 = distance2;
  run_nearest(job, prepared->starts, host::kernels<T>());
}

#define STARLING_INSTANTIATE(T)                                                                    \
  template std::size_t search_workspace_bytes(const NeighborSearch<T>&);                           \
  template void knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>);       \
  template void radius_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*, \
                             std::span<std::byte>);                                                \
  template void radius_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::host
