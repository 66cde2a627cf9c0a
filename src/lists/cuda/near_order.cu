#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "lists/lists.h"
#include "memory/layout.h"

namespace starling::lists::cuda {

using namespace starling::cuda;

namespace {

constexpr int kThreads = 256;
constexpr int kPerRow = 8;  // threads

struct Arrays {
  std::uint32_t *point[2], *row[2];  // [rows] before and after sorting, in whichever the sort leaves it
  std::byte* scratch;                // of the sort
  std::size_t scratch_bytes;
};

int sort_by_point(const Arrays& arrays, std::size_t& scratch_bytes, const Lists& lists, cudaStream_t stream) {
  cub::DoubleBuffer<std::uint32_t> point(arrays.point[0], arrays.point[1]);
  cub::DoubleBuffer<std::uint32_t> row(arrays.row[0], arrays.row[1]);
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint32_t>(lists.num_points))));
  call(cub::DeviceRadixSort::SortPairs(arrays.scratch, scratch_bytes, point, row, lists.num_rows, 0, bits, stream));
  return row.selector;
}

std::size_t lay_out(const Lists& lists, std::span<std::byte> memory, Arrays& arrays) {
  memory::Layout layout(memory);
  const auto rows = static_cast<std::size_t>(lists.num_rows);
  for (int side = 0; side < 2; ++side) {
    arrays.point[side] = layout.take<std::uint32_t>(rows);
    arrays.row[side] = layout.take<std::uint32_t>(rows);
  }
  arrays.scratch_bytes = 0;
  if (rows > 0) sort_by_point({}, arrays.scratch_bytes, lists, nullptr);
  arrays.scratch = layout.take<std::byte>(arrays.scratch_bytes);
  return layout.bytes();
}

/// The smallest point of each list; the number past the last where there is none.
__global__ void __launch_bounds__(kThreads)
    smallest_kernel(const __grid_constant__ Lists lists, std::uint32_t* smallest, std::uint32_t* rows) {
  const std::int64_t row = std::int64_t{blockIdx.x} * (kThreads / kPerRow) + threadIdx.x / kPerRow;
  const bool is_row = row < lists.num_rows;
  std::int64_t first = 0, end = 0;
  if (is_row) {
    first = lists.row_splits != nullptr ? lists.row_splits[row] : row * lists.k;
    end = lists.row_splits != nullptr ? lists.row_splits[row + 1] : (row + 1) * lists.k;
  }
  auto least = static_cast<std::uint32_t>(lists.num_points);
  for (std::int64_t e = first + threadIdx.x % kPerRow; e < end; e += kPerRow)
    least = min(least, static_cast<std::uint32_t>(lists.index[e]));
#pragma unroll
  for (int step = kPerRow / 2; step > 0; step /= 2) least = min(least, __shfl_xor_sync(0xFFFFFFFFU, least, step));
  if (!is_row || threadIdx.x % kPerRow != 0) return;
  smallest[row] = least;
  rows[row] = static_cast<std::uint32_t>(row);
}

}  // namespace

std::size_t near_order_bytes(const Lists& lists) {
  Arrays arrays{};
  return lay_out(lists, {}, arrays);
}

const std::uint32_t* near_order(const Lists& lists, std::span<std::byte> workspace, cudaStream_t stream) {
  Arrays arrays{};
  lay_out(lists, workspace, arrays);
  if (lists.num_rows == 0) return arrays.row[0];
  smallest_kernel<<<blocks_of(lists.num_rows, kThreads / kPerRow), kThreads, 0, stream>>>(lists, arrays.point[0],
                                                                                          arrays.row[0]);
  call(cudaGetLastError());
  return arrays.row[sort_by_point(arrays, arrays.scratch_bytes, lists, stream)];
}

}  // namespace starling::lists::cuda
