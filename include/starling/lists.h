#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "starling/device.h"

namespace starling {

/// The entries of neighbour lists as knn() and radius_fill() write them (neighbors.h), in memory of the device that
/// works on them.
struct Lists {
  const std::int32_t* index = nullptr;       ///< [num_entries] row of a point, or −1
  std::int32_t num_rows = 0;                 ///< lists
  int k = 0;                                 ///< entries per row; ignored where row_splits is not null
  const std::int64_t* row_splits = nullptr;  ///< [num_rows + 1]
  std::int64_t num_entries = 0;              ///< at most 2^31 − 1
  std::int32_t num_points = 0;
};

/// Lists turned round: for each point the entries that hold it, in ascending order, so that a sum over them has one
/// order, on any number of threads and on a device. Gradients find them where the caller does not give them.
struct Holders {
  const std::uint32_t* begin =
      nullptr;  ///< [num_points + 1] first of a point's places in `entry`; null = not found yet
  const std::uint32_t* entry = nullptr;  ///< [num_entries]
  const std::int32_t* row_of = nullptr;  ///< [num_entries] the row of each entry; null where every row has k
};

/// Bytes of workspace of find_holders(): at most 4 per entry (8 with row splits) and 68 per point on the host, 16 per
/// entry (20) and 4 per point on a device. Reads no array.
std::size_t find_holders_workspace_bytes(const Lists& lists, const Execution& execution = {});

/// Finds the holders, which lie in the workspace: for the gradients of several operations over the same lists. Throws
/// ErrorKind::usage naming sizes and rule for wrong arguments. On the host every index must be −1 or a row of the
/// points; on a device any other counts as −1.
Holders find_holders(const Lists& lists, std::span<std::byte> workspace, const Execution& execution = {});

}  // namespace starling
