#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

// Rows of coordinates or features in registers, and the events that rows belong to.
namespace starling::cuda {

/// A row, padded with zeros, which add exactly nothing to a squared distance.
template <typename T, int kDimensions>
struct alignas(sizeof(T) * kDimensions % 16 == 0 ? 16 : 8) Row {
  T x[kDimensions];
};

template <typename T, int kDimensions>
__device__ inline Row<T, kDimensions> load_row(const T* rows, std::int64_t row, int dimensions) {
  Row<T, kDimensions> result;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) result.x[d] = d < dimensions ? rows[row * dimensions + d] : T(0);
  return result;
}

/// A row of an array of padded rows, in loads of 16 bytes, or 8 where it is no multiple of 16.
template <typename T, int kDimensions>
__device__ __forceinline__ Row<T, kDimensions> load_padded(const T* rows, int row) {
  using Part = std::conditional_t<alignof(Row<T, kDimensions>) == 16, float4, float2>;
  static_assert(sizeof(Row<T, kDimensions>) == kDimensions * sizeof(T));
  Row<T, kDimensions> result;
  const auto* const from = reinterpret_cast<const Part*>(rows + static_cast<std::int64_t>(row) * kDimensions);
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(result) / sizeof(Part)); ++i) {
    const Part part = from[i];
    memcpy(reinterpret_cast<char*>(result.x) + i * sizeof(Part), &part, sizeof(Part));
  }
  return result;
}

/// The event that holds a row: the last one that starts at or before it.
__device__ inline int find_event(const std::int32_t* row_splits, int num_events, int row) {
  int low = 0, high = num_events;  // row_splits[low] <= row < row_splits[high]
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (row_splits[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

}  // namespace starling::cuda
