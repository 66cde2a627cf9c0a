#include "neighbors/check.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "starling/error.h"

namespace starling::neighbors {
namespace {

constexpr std::int32_t kMaxCudaPoints = 1 << 30;  // beyond, places in the tree would overflow an int32

[[noreturn]] void usage(const char* function, const std::string& message) {
  throw Error(ErrorKind::usage, std::string(function) + ": " + message);
}

/// The first row of `rows` for which `bad` holds, or `rows`.
template <typename Predicate>
std::int64_t first_row(std::int64_t rows, const Predicate& bad) {
  return tbb::parallel_reduce(
      tbb::blocked_range<std::int64_t>(0, rows, 1 << 14), rows,
      [&](const tbb::blocked_range<std::int64_t>& range, std::int64_t found) {
        for (std::int64_t row = range.begin(); row < std::min(range.end(), found); ++row) {
          if (bad(row)) return row;
        }
        return found;
      },
      [](std::int64_t a, std::int64_t b) { return std::min(a, b); });
}

template <typename T>
void check_finite(const T* rows, std::int64_t num_rows, int dimensions, const char* function, const char* name) {
  const auto bad = [&](std::int64_t row) {
    // x · 0 is NaN for what is not finite and ±0 for all else.
    T sum = 0;
    for (int d = 0; d < dimensions; ++d) sum += rows[row * dimensions + d] * T(0);
    return std::isnan(sum);
  };
  const std::int64_t row = first_row(num_rows, bad);
  if (row == num_rows) return;
  int d = 0;
  while (std::isfinite(rows[row * dimensions + d])) ++d;
  throw Error(ErrorKind::input, std::string(function) + ": " + name + " row " + std::to_string(row) + ", coordinate " +
                                    std::to_string(d) + " is " + std::to_string(rows[row * dimensions + d]) +
                                    ": expected a finite number");
}

void check_splits(const std::int32_t* splits, std::int32_t num_events, std::int32_t rows, const char* function,
                  const char* name) {
  if (splits == nullptr) return;
  check_row_splits({splits, static_cast<std::size_t>(num_events) + 1}, rows, std::string(function) + ": " + name);
}

template <typename T>
void check_sizes(const NeighborSearch<T>& search, const char* function) {
  if (search.dimensions < 1 || search.dimensions > kMaxDimensions) {
    usage(function,
          "dimensions is " + std::to_string(search.dimensions) + ": expected 1 to " + std::to_string(kMaxDimensions));
  }
  if (search.num_points < 0) usage(function, "num_points is " + std::to_string(search.num_points) + ": expected ≥ 0");
  if (search.points == nullptr && search.num_points > 0) {
    usage(function, "points is null, num_points " + std::to_string(search.num_points));
  }
  if (search.num_events < 0) usage(function, "num_events is " + std::to_string(search.num_events) + ": expected ≥ 0");
  if (search.row_splits == nullptr && search.num_events != 1) {
    usage(function, "num_events is " + std::to_string(search.num_events) + " without row_splits: expected 1");
  }
  if (!(search.max_radius >= 0)) {
    usage(function, "max_radius is " + std::to_string(search.max_radius) + ": expected ≥ 0");
  }
  if (search.queries == nullptr) return;
  if (search.num_queries < 0) {
    usage(function, "num_queries is " + std::to_string(search.num_queries) + ": expected ≥ 0");
  }
  if (search.query_row_splits == nullptr && search.num_events != 1) {
    usage(function, "num_events is " + std::to_string(search.num_events) + " without query_row_splits: expected 1");
  }
  if (search.direction != nullptr) usage(function, "direction with queries that are not the points");
}

}  // namespace

void check_device(const Execution& execution, const char* function) {
  if (execution.device == Device::cpu || execution.device == Device::cuda) return;
  usage(function,
        "execution.device is " + std::to_string(static_cast<int>(execution.device)) + ": expected cpu or cuda");
}

template <typename T>
void check_search(const NeighborSearch<T>& search, const Execution& execution, const char* function) {
  check_device(execution, function);
  check_sizes(search, function);
  if (execution.device == Device::cuda) {
    if (search.num_points <= kMaxCudaPoints) return;
    usage(function, "num_points is " + std::to_string(search.num_points) + ": expected at most " +
                        std::to_string(kMaxCudaPoints) + " on a CUDA device");
  }
  check_splits(search.row_splits, search.num_events, search.num_points, function, "row_splits");
  if (search.queries != nullptr)
    check_splits(search.query_row_splits, search.num_events, search.num_queries, function, "query_row_splits");
}

template <typename T>
void check_k(const NeighborSearch<T>& search, int k, const char* function) {
  if (k < 0) usage(function, "k is " + std::to_string(k) + ": expected ≥ 0");
  const std::int64_t rows = num_rows(search);
  if (k > 0 && rows > PTRDIFF_MAX / static_cast<std::int64_t>(sizeof(T)) / k) {
    usage(function, std::to_string(rows) + " queries of k " + std::to_string(k) + ": more than memory can hold");
  }
}

void check_max_neighbors(std::int32_t max_neighbors, const char* function) {
  if (max_neighbors < 0) usage(function, "max_neighbors is " + std::to_string(max_neighbors) + ": expected ≥ 0");
}

void check_not_null(const void* array, std::int64_t entries, const char* name, const char* function) {
  if (array != nullptr || entries == 0) return;
  usage(function, std::string(name) + " is null: expected " + std::to_string(entries) + " entries");
}

template <typename T>
void check_list_sizes(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, const char* function) {
  if (neighbor_row_splits[0] != 0)
    usage(function, "neighbor_row_splits[0] is " + std::to_string(neighbor_row_splits[0]) + ": expected 0");
  for (std::int64_t row = 0; row < num_rows(search); ++row) {
    const std::int64_t size = neighbor_row_splits[row + 1] - neighbor_row_splits[row];
    if (size >= 0 && size <= search.num_points) continue;
    usage(function, "neighbor_row_splits give query " + std::to_string(row) + " " + std::to_string(size) +
                        " neighbours: expected 0 to the number of points, " + std::to_string(search.num_points));
  }
}

template <typename T>
void check_values(const NeighborSearch<T>& search, const char* function) {
  check_finite(search.points, search.num_points, search.dimensions, function, "points");
  if (search.queries != nullptr) {
    check_finite(search.queries, search.num_queries, search.dimensions, function, "queries");
  }
  if (search.direction == nullptr) return;
  const auto unknown = [&](std::int64_t row) {
    return search.direction[row] < Direction::both || search.direction[row] > Direction::neither;
  };
  const std::int64_t row = first_row(search.num_points, unknown);
  if (row == search.num_points) return;
  throw Error(ErrorKind::input, std::string(function) + ": direction row " + std::to_string(row) + " is " +
                                    std::to_string(static_cast<int>(search.direction[row])) + ": expected 0 to 3");
}

template <typename T>
void check_sizes(const NeighborLists<T>& lists, const char* function) {
  if (lists.dimensions < 1 || lists.dimensions > kMaxDimensions) {
    usage(function,
          "dimensions is " + std::to_string(lists.dimensions) + ": expected 1 to " + std::to_string(kMaxDimensions));
  }
  if (lists.num_points < 0) usage(function, "num_points is " + std::to_string(lists.num_points) + ": expected ≥ 0");
  if (lists.points == nullptr && lists.num_points > 0) {
    usage(function, "points is null, num_points " + std::to_string(lists.num_points));
  }
  if (lists.queries != nullptr && lists.num_queries < 0) {
    usage(function, "num_queries is " + std::to_string(lists.num_queries) + ": expected ≥ 0");
  }
  if (lists.neighbor_row_splits == nullptr && lists.k < 0) {
    usage(function, "k is " + std::to_string(lists.k) + ": expected ≥ 0");
  }
  const std::int64_t entries = num_entries(lists);
  if (entries < 0 || entries > INT32_MAX) {
    usage(function, std::to_string(entries) + " entries: expected 0 to " + std::to_string(INT32_MAX));
  }
  if (lists.index == nullptr && entries > 0) usage(function, "index is null, entries " + std::to_string(entries));
}

template <typename T>
void check_values(const NeighborLists<T>& lists, const char* function) {
  const std::int64_t* const splits = lists.neighbor_row_splits;
  if (splits != nullptr) {
    const std::int32_t rows = num_rows(lists);
    const std::string name = "neighbor_row_splits";
    if (splits[0] != 0) usage(function, name + "[0] is " + std::to_string(splits[0]) + ": expected 0");
    const std::int64_t row = first_row(rows, [&](std::int64_t i) { return splits[i + 1] < splits[i]; });
    if (row < rows) {
      usage(function, name + "[" + std::to_string(row + 1) + "] is " + std::to_string(splits[row + 1]) +
                          ", less than the entry before, " + std::to_string(splits[row]) + ": expected ascending rows");
    }
    if (splits[rows] != lists.num_entries) {
      usage(function, name + "[" + std::to_string(rows) + "] is " + std::to_string(splits[rows]) +
                          ": expected the number of entries, " + std::to_string(lists.num_entries));
    }
  }
  const std::int64_t entries = num_entries(lists);
  const std::int64_t entry =
      first_row(entries, [&](std::int64_t i) { return lists.index[i] < -1 || lists.index[i] >= lists.num_points; });
  if (entry == entries) return;
  throw Error(ErrorKind::input, std::string(function) + ": index entry " + std::to_string(entry) + " is " +
                                    std::to_string(lists.index[entry]) + ": expected -1 or the row of one of " +
                                    std::to_string(lists.num_points) + " points");
}

#define STARLING_INSTANTIATE(T)                                                               \
  template void check_sizes(const NeighborLists<T>&, const char*);                            \
  template void check_values(const NeighborLists<T>&, const char*);                           \
  template void check_search(const NeighborSearch<T>&, const Execution&, const char*);        \
  template void check_k(const NeighborSearch<T>&, int, const char*);                          \
  template void check_list_sizes(const NeighborSearch<T>&, const std::int64_t*, const char*); \
  template void check_values(const NeighborSearch<T>&, const char*)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors

namespace starling {

void check_row_splits(std::span<const std::int32_t> row_splits, std::int32_t num_rows, const std::string& name) {
  const auto fail = [&](std::size_t entry, const std::string& what) {
    throw Error(ErrorKind::usage,
                name + "[" + std::to_string(entry) + "] is " + std::to_string(row_splits[entry]) + what);
  };
  if (row_splits.empty()) throw Error(ErrorKind::usage, name + " is empty: expected the number of events + 1 entries");
  if (row_splits[0] != 0) fail(0, ": expected 0");
  for (std::size_t i = 1; i < row_splits.size(); ++i) {
    if (row_splits[i] >= row_splits[i - 1]) continue;
    fail(i, ", less than the entry before, " + std::to_string(row_splits[i - 1]) + ": expected ascending rows");
  }
  if (row_splits.back() != num_rows)
    fail(row_splits.size() - 1, ": expected the number of rows, " + std::to_string(num_rows));
}

}  // namespace starling
