#include "starling/neighbors.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_sort.h>

#include <algorithm>
#include <memory>
#include <string>

#include "neighbors/check.h"
#include "neighbors/search.h"
#include "neighbors/tree.h"
#include "starling/device.h"
#include "starling/error.h"

namespace starling {
namespace neighbors {
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

template <typename T>
void check_radius(const NeighborSearch<T>& search, const char* function) {
  if (search.max_radius < std::numeric_limits<T>::infinity()) return;
  throw Error(ErrorKind::usage, std::string(function) + ": max_radius is infinite: expected a radius");
}

template <typename T>
std::size_t workspace_bytes(const NeighborSearch<T>& search, const char* function) {
  check_sizes(search, function);
  check_row_splits(search, function);
  Tree<T> tree;
  return lay_out(search, nullptr, tree);
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

/// Builds the tree in the workspace and orders the queries. Returns their number.
template <typename T>
std::int64_t prepare(const NeighborSearch<T>& search, std::span<std::byte> workspace, const char* function,
                     const Kernels<T>& kernels, Tree<T>& tree, Job<T>& job) {
  const std::size_t needed = workspace_bytes(search, function);
  if (workspace.size() < needed) {
    throw Error(ErrorKind::usage, std::string(function) + ": workspace of " + std::to_string(workspace.size()) +
                                      " bytes: expected " + std::to_string(needed));
  }
  check_values(search, function);
  lay_out(search, workspace.data(), tree);
  build(search, tree);
  const bool self = search.queries == nullptr;
  job = {.tree = &tree,
         .queries = self ? search.points : search.queries,
         .num_points = search.num_points,
         .self = self,
         .loop = search.loop,
         .max_distance2 = search.max_radius * search.max_radius,
         .k = 0,
         .row_splits = nullptr,
         .index = nullptr,
         .distance2 = nullptr};
  if (self && search.direction == nullptr) return search.num_points;
  return order_queries(search, job, kernels);
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
}  // namespace neighbors

using namespace neighbors;

template <typename T>
std::size_t knn_workspace_bytes(const NeighborSearch<T>& search, int k) {
  check_k(search, k, "knn_workspace_bytes");
  return workspace_bytes(search, "knn_workspace_bytes");
}

template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace) {
  check_k(search, k, "knn");
  const Kernels<T> kernels = neighbors::kernels<T>();
  Tree<T> tree;
  Job<T> job;
  const std::int64_t queries = prepare(search, workspace, "knn", kernels, tree, job);
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
std::size_t radius_workspace_bytes(const NeighborSearch<T>& search) {
  check_radius(search, "radius_workspace_bytes");
  return workspace_bytes(search, "radius_workspace_bytes");
}

template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace) {
  check_radius(search, "radius_count");
  if (max_neighbors < 0) {
    throw Error(ErrorKind::usage, "radius_count: max_neighbors is " + std::to_string(max_neighbors) + ": expected ≥ 0");
  }
  const Kernels<T> kernels = neighbors::kernels<T>();
  Tree<T> tree;
  Job<T> job;
  const std::int64_t queries = prepare(search, workspace, "radius_count", kernels, tree, job);
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
  check_radius(search, "radius_fill");
  const Kernels<T> kernels = neighbors::kernels<T>();
  Tree<T> tree;
  Job<T> job;
  const std::int64_t queries = prepare(search, workspace, "radius_fill", kernels, tree, job);
  if (neighbor_row_splits[0] != 0) {
    throw Error(ErrorKind::usage,
                "radius_fill: neighbor_row_splits[0] is " + std::to_string(neighbor_row_splits[0]) + ": expected 0");
  }
  for (std::int64_t row = 0; row < num_rows(search); ++row) {
    const std::int64_t size = neighbor_row_splits[row + 1] - neighbor_row_splits[row];
    if (size >= 0 && size <= search.num_points) continue;
    throw Error(ErrorKind::usage, "radius_fill: neighbor_row_splits give query " + std::to_string(row) + " " +
                                      std::to_string(size) + " neighbours: expected 0 to the number of points, " +
                                      std::to_string(search.num_points));
  }
  job.row_splits = neighbor_row_splits;
  job.index = index;
  job.distance2 = distance2;
  run_nearest(job, queries, kernels);
}

#define STARLING_INSTANTIATE(T)                                                                    \
  template std::size_t knn_workspace_bytes(const NeighborSearch<T>&, int);                         \
  template void knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>);       \
  template std::size_t radius_workspace_bytes(const NeighborSearch<T>&);                           \
  template void radius_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*, \
                             std::span<std::byte>);                                                \
  template void radius_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling
