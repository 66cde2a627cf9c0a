#pragma once

#include "starling/neighbors.h"

namespace starling::neighbors {

/// Number of rows of the output.
template <typename T>
std::int32_t num_rows(const NeighborSearch<T>& search) {
  return search.queries != nullptr ? search.num_queries : search.num_points;
}

/// What can be checked without reading an array. Throws ErrorKind::usage; `function` begins the message.
template <typename T>
void check_sizes(const NeighborSearch<T>& search, const char* function);

/// Throws ErrorKind::usage where k is negative or queries · k entries are more than memory can hold.
template <typename T>
void check_k(const NeighborSearch<T>& search, int k, const char* function);

/// That the row splits begin at 0, never fall and end at the number of rows. Reads host memory.
template <typename T>
void check_row_splits(const NeighborSearch<T>& search, const char* function);

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

/// What can be checked without reading an array, and that entries can be numbered in 32 bits.
template <typename T>
void check_sizes(const NeighborLists<T>& lists, const char* function);

/// That the row splits fit and every index is −1 or a row of the points. Reads host memory, in parallel. Throws
/// ErrorKind::input for the first index at fault.
template <typename T>
void check_values(const NeighborLists<T>& lists, const char* function);

}  // namespace starling::neighbors
