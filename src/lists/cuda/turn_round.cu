#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "lists/lists.h"
#include "memory/layout.h"

// A stable radix sort of the entries by point: no atomics.
namespace starling::lists::cuda {

using namespace starling::cuda;

namespace {

constexpr int kThreads = 256;
constexpr int kPerRow = 8;  // threads

struct Arrays {
  std::uint32_t *point[2], *entry[2];  // [entries] before and after sorting, in whichever the sort leaves it
  std::uint32_t* begin;
  std::int32_t* row_of;
  std::byte* scratch;  // of the sort
  std::size_t scratch_bytes;
};

/// Sorts by point; entries of no point, which have the number past the last, go behind all others. Returns which of the
/// two buffers holds the result.
int sort_by_point(const Arrays& arrays, std::size_t& scratch_bytes, const Lists& lists, cudaStream_t stream) {
  cub::DoubleBuffer<std::uint32_t> point(arrays.point[0], arrays.point[1]);
  cub::DoubleBuffer<std::uint32_t> entry(arrays.entry[0], arrays.entry[1]);
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint32_t>(lists.num_points))));
  call(cub::DeviceRadixSort::SortPairs(arrays.scratch, scratch_bytes, point, entry, static_cast<int>(lists.num_entries),
                                       0, bits, stream));
  return point.selector;
}

std::size_t lay_out(const Lists& lists, std::span<std::byte> memory, Arrays& arrays) {
  memory::Layout layout(memory);
  const auto entries = static_cast<std::size_t>(lists.num_entries);
  for (int side = 0; side < 2; ++side) {
    arrays.point[side] = layout.take<std::uint32_t>(entries);
    arrays.entry[side] = layout.take<std::uint32_t>(entries);
  }
  arrays.begin = layout.take<std::uint32_t>(static_cast<std::size_t>(lists.num_points) + 1);
  arrays.row_of = lists.row_splits != nullptr ? layout.take<std::int32_t>(entries) : nullptr;
  arrays.scratch_bytes = 0;
  if (entries > 0) sort_by_point({}, arrays.scratch_bytes, lists, nullptr);
  arrays.scratch = layout.take<std::byte>(arrays.scratch_bytes);
  return layout.bytes();
}

__global__ void __launch_bounds__(kThreads)
    number_kernel(const std::int32_t* index, std::uint32_t entries, std::int32_t num_points, std::uint32_t* point,
                  std::uint32_t* entry) {
  const std::uint32_t e = blockIdx.x * kThreads + threadIdx.x;
  if (e >= entries) return;
  point[e] = min(static_cast<std::uint32_t>(index[e]), static_cast<std::uint32_t>(num_points));
  entry[e] = e;
}

__global__ void __launch_bounds__(kThreads) row_kernel(const std::int64_t* row_splits, int rows, std::int32_t* row_of) {
  const int row = blockIdx.x * (kThreads / kPerRow) + threadIdx.x / kPerRow;
  if (row >= rows) return;
  for (std::int64_t e = row_splits[row] + threadIdx.x % kPerRow; e < row_splits[row + 1]; e += kPerRow) row_of[e] = row;
}

__global__ void __launch_bounds__(kThreads)
    begin_kernel(const std::uint32_t* point, std::uint32_t entries, int num_points, std::uint32_t* begin) {
  const std::uint32_t number = blockIdx.x * kThreads + threadIdx.x;
  if (number > static_cast<std::uint32_t>(num_points)) return;
  std::uint32_t low = 0, high = entries;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (point[middle] < number)
      low = middle + 1;
    else
      high = middle;
  }
  begin[number] = low;
}

}  // namespace

std::size_t turn_round_bytes(const Lists& lists) {
  Arrays arrays{};
  return lay_out(lists, {}, arrays);
}

Holders turn_round(const Lists& lists, std::span<std::byte> workspace, cudaStream_t stream) {
  Arrays arrays{};
  lay_out(lists, workspace, arrays);
  const auto entries = static_cast<std::uint32_t>(lists.num_entries);
  int side = 0;
  if (entries > 0) {
    number_kernel<<<blocks_of(entries, kThreads), kThreads, 0, stream>>>(lists.index, entries, lists.num_points,
                                                                         arrays.point[0], arrays.entry[0]);
    side = sort_by_point(arrays, arrays.scratch_bytes, lists, stream);
    if (arrays.row_of != nullptr && lists.num_rows > 0) {
      row_kernel<<<blocks_of(lists.num_rows, kThreads / kPerRow), kThreads, 0, stream>>>(lists.row_splits,
                                                                                         lists.num_rows, arrays.row_of);
    }
  }
  begin_kernel<<<blocks_of(lists.num_points + std::int64_t{1}, kThreads), kThreads, 0, stream>>>(
      arrays.point[side], entries, lists.num_points, arrays.begin);
  call(cudaGetLastError());
  return {arrays.begin, arrays.entry[side], arrays.row_of};
}

}  // namespace starling::lists::cuda
