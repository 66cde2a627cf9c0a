#pragma once

#include <vector_types.h>

#include <cstddef>

#include "memory/layout.h"
#include "neighbors/cuda/tree.cuh"

struct CUstream_st;

namespace starling::neighbors::cuda {

/// Where the device splits events into groups. Each split is named by the group that its right side starts with.
struct Split {
  std::uint32_t* zeroed = nullptr;  // start of what must be zero at first
  std::size_t zeroed_bytes = 0;
  std::uint32_t* histogram = nullptr;  // [groups, kHistogram]
  std::int32_t* sides = nullptr;       // [groups, 3]
  float2* cells = nullptr;             // [groups, dimensions] not zeroed
  int4* events = nullptr;              // [groups] begin and end of the events at a group's first and last place
  std::int32_t* other_order = nullptr;
  std::int32_t* finished = nullptr;  // blocks that are through with their groups; zeroed at the start
};
inline constexpr int kHistogram = 1024;  // shared by the dimensions
inline constexpr int kMostBins = 1024;   // of a dimension

/// What the build works on. Results do not depend on the tree, so its atomics may fall in any order.
template <typename T>
struct Build {
  Tree<T> tree;
  const std::int32_t* row_splits = nullptr;
  int num_events = 1;
  const Direction* direction = nullptr;
  int padded = 0;
  bool in_fours = false;  // set by build_tree(): rows are multiples of four coordinates, at a multiple of 16 bytes
  std::int32_t* bad_row = nullptr;
  // Of events larger than a group only, see split.cu.
  Split split;
};

/// Coordinates first .. first + 3 of a row; zeros past the last.
template <typename T>
__device__ inline Row<T, 4> load_four(const Build<T>& build, std::int32_t row, int first) {
  const int dimensions = build.tree.dimensions;
  const T* const from = build.tree.points + static_cast<std::int64_t>(row) * dimensions + first;
  return build.in_fours ? load_padded<T, 4>(from, 0) : load_row<T, 4>(from, 0, dimensions - first);
}

/// A coordinate of a row whose first four are at hand.
template <typename T>
__device__ inline T coordinate(const Build<T>& build, std::int32_t row, const Row<T, 4>& near, int d) {
  if (d >= 4) return build.tree.points[static_cast<std::int64_t>(row) * build.tree.dimensions + d];
  return d == 0 ? near.x[0] : d == 1 ? near.x[1] : d == 2 ? near.x[2] : near.x[3];
}

/// What cudaMemsetAsync writes to *bad_row first: a row that no cloud has. build_tree() turns it into −1 in the end.
inline constexpr int kNoBadRowByte = 0x7f;
inline constexpr std::int32_t kNoBadRow = 0x7f7f7f7f;

/// Describes the tree of a search, and lays it out.
template <typename T>
void lay_out(const NeighborSearch<T>& search, memory::Layout& layout, Build<T>& build);

/// Orders the points of events larger than a group so that each group of places has points that lie close together.
template <typename T>
void split_events(const Build<T>& build, CUstream_st* stream);

/// Orders the points and fills the boxes. Lowers *bad_row to the first row that is not finite.
template <typename T>
void build_tree(Build<T> build, CUstream_st* stream);

/// Lowers *bad_row to the first row, counted from first_row, that is not finite.
template <typename T>
void check_rows(const T* rows, int num_rows, int dimensions, int first_row, std::int32_t* bad_row, CUstream_st* stream);

}  // namespace starling::neighbors::cuda
