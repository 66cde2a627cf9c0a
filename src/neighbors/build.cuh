#pragma once

#include <vector_types.h>

#include <cstddef>

#include "neighbors/tree.cuh"

struct CUstream_st;

namespace starling::neighbors_cuda {

/// Where the device splits events into groups. Each split is named by the group that its right side starts with.
struct Split {
  std::uint32_t* zeroed = nullptr;  // start of what must be zero at first
  std::size_t zeroed_bytes = 0;
  std::uint32_t* histogram = nullptr;  // [groups, kBins]
  std::uint32_t* box = nullptr;        // [groups, 2 × dimensions]
  std::int32_t* sides = nullptr;       // [groups, 3]
  int4* events = nullptr;              // [groups] begin and end of the events at a group's first and last place
  std::int32_t* other_order = nullptr;
};
inline constexpr int kBins = 1024;

/// What the build works on. Results do not depend on the tree, so its atomics may fall in any order.
template <typename T>
struct Build {
  Tree<T> tree;
  const std::int32_t* row_splits = nullptr;
  int num_events = 1;
  const std::int8_t* direction = nullptr;
  int padded = 0;
  std::int32_t* bad_row = nullptr;
  // Of events larger than a group only, see split.cuh.
  Split split;
};

/// What cudaMemsetAsync writes to *bad_row first: a row that no cloud has. build_tree() turns it into −1 in the end.
inline constexpr int kNoBadRowByte = 0x7f;
inline constexpr std::int32_t kNoBadRow = 0x7f7f7f7f;

/// Orders the points and fills the boxes. Lowers *bad_row to the first row that is not finite.
template <typename T>
void build_tree(const Build<T>& build, CUstream_st* stream);

/// Lowers *bad_row to the first row, counted from first_row, that is not finite.
template <typename T>
void check_rows(const T* rows, int num_rows, int dimensions, int first_row, std::int32_t* bad_row, CUstream_st* stream);

}  // namespace starling::neighbors_cuda
