#pragma once

#include "lists/lists.h"
#include "starling/neighbors.h"

namespace starling::neighbors {

/// Number of rows of the output.
template <typename T>
std::int32_t num_rows(const NeighborSearch<T>& search) {
  return search.queries != nullptr ? search.num_queries : search.num_points;
}

// All throw ErrorKind::usage, with a message that begins with `function`, unless they say otherwise.

/// That the device is a known one.
void check_device(const Execution& execution, const char* function);

/// The device, sizes, and on the host the row splits, which are read. On a CUDA device no array is.
template <typename T>
void check_search(const NeighborSearch<T>& search, const Execution& execution, const char* function);

/// That k is not negative and queries · k entries are not more than memory can hold.
template <typename T>
void check_k(const NeighborSearch<T>& search, int k, const char* function);

void check_max_neighbors(std::int32_t max_neighbors, const char* function);

/// That an array of so many entries is there.
void check_not_null(const void* array, std::int64_t entries, const char* name, const char* function);

/// That neighbor_row_splits begin at 0 and give each query between 0 and all points. Reads host memory.
template <typename T>
void check_list_sizes(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, const char* function);

/// That all coordinates are finite and all directions known. Reads host memory, in parallel. Throws ErrorKind::input
/// for the first row at fault.
template <typename T>
void check_values(const NeighborSearch<T>& search, const char* function);

template <typename T>
std::int32_t num_rows(const NeighborLists<T>& lists) {
  return lists.queries != nullptr ? lists.num_queries : lists.num_points;
}
template <typename T>
std::int64_t num_entries(const NeighborLists<T>& lists) {
  return lists.neighbor_row_splits != nullptr ? lists.num_entries
                                              : static_cast<std::int64_t>(num_rows(lists)) * lists.k;
}

/// The entries alone, to be turned round.
template <typename T>
lists::Lists lists_of(const NeighborLists<T>& lists) {
  return {lists.index, num_rows(lists), lists.k, lists.neighbor_row_splits, num_entries(lists), lists.num_points};
}

/// What can be checked without reading an array, and that entries can be numbered in 32 bits.
template <typename T>
void check_sizes(const NeighborLists<T>& lists, const char* function);

/// That the row splits fit and every index is −1 or a row of the points. Reads host memory, in parallel. Throws
/// ErrorKind::input for the first index at fault.
template <typename T>
void check_values(const NeighborLists<T>& lists, const char* function);

}  // namespace starling::neighbors
