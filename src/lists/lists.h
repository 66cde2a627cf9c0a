#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "arithmetic/host_device.h"
#include "starling/lists.h"

namespace starling::lists {

using starling::Holders;
using starling::Lists;

/// The row of an entry, of rows of k where they have no row splits.
STARLING_HOST_DEVICE std::int32_t row_of_entry(const Holders& holders, std::uint32_t entry, int k) {
  return holders.row_of != nullptr ? holders.row_of[entry]
                                   : static_cast<std::int32_t>(entry / static_cast<std::uint32_t>(k));
}

// What stands behind find_holders(): turn_round() checks nothing.
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
