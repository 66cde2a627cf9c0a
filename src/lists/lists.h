#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "starling/device.h"

#ifdef __CUDACC__
#define STARLING_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define STARLING_HOST_DEVICE static inline  // sources for several instruction sets include it: each has its own
#endif

/// Lists of neighbours turned round: for each point the entries that hold it, in ascending order. So a sum over them
/// has one order, on any number of threads and on a device.
namespace starling::lists {

/// Lists as knn() and radius_fill() write them, in the memory of the device that works on them.
struct Lists {
  const std::int32_t* index;       ///< [entries] row of a point, or −1
  std::int32_t num_rows;           ///< lists
  int k;                           ///< entries per row, where row_splits is null
  const std::int64_t* row_splits;  ///< [num_rows + 1], or null
  std::int64_t num_entries;        ///< at most 2^31 − 1
  std::int32_t num_points;
};

/// The entries that hold each point.
struct Holders {
  const std::uint32_t* begin;  ///< [num_points + 1] first of a point's places in `entry`
  const std::uint32_t* entry;  ///< [entries]
  const std::int32_t* row_of;  ///< [entries] the row of each entry; null where every row has k
};

/// The row of an entry, of rows of k where they have no row splits.
STARLING_HOST_DEVICE std::int32_t row_of_entry(const Holders& holders, std::uint32_t entry, int k) {
  return holders.row_of != nullptr ? holders.row_of[entry]
                                   : static_cast<std::int32_t>(entry / static_cast<std::uint32_t>(k));
}

// turn_round() gives the holders, which lie in the workspace. On the host every index must be −1 or a row of the
// points; on a device any other counts as −1. Allocates nothing; on a device it waits for nothing. The workspace has at
// most 4 bytes per entry (8 with row splits) and 68 per point on the host, 16 per entry (20) and 4 per point on a
// device; its size query reads no array.
namespace host {
/// Throws, with a message that begins with `function`: ErrorKind::usage where row splits do not ascend from 0 to
/// num_entries, ErrorKind::input naming the first index that is neither −1 nor a row of the points.
void check(const Lists& lists, const char* function);
std::size_t turn_round_bytes(const Lists& lists);
Holders turn_round(const Lists& lists, std::span<std::byte> workspace);
}  // namespace host
namespace cuda {
std::size_t turn_round_bytes(const Lists& lists);
Holders turn_round(const Lists& lists, std::span<std::byte> workspace, CUstream_st* stream);

/// The rows [num_rows] in an order in which rows that stand together share many points: sorted by the smallest point of
/// their lists. A block of threads that takes rows in this order finds most points in its cache: of the entries of 32
/// rows, with k = 64 in four dimensions, 30 % are the first of their point, against 99 % where the points stand in
/// random order. The order lies in the workspace of at most 16 bytes per row and a constant.
std::size_t near_order_bytes(const Lists& lists);
const std::uint32_t* near_order(const Lists& lists, std::span<std::byte> workspace, CUstream_st* stream);
}  // namespace cuda

}  // namespace starling::lists

#undef STARLING_HOST_DEVICE
