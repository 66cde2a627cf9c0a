#pragma once

#include <cstdint>

#include "arithmetic/host_device.h"
#include "starling/edge_conv.h"

// What host and device compute alike. Nothing here may be contracted to fused multiply-adds.
namespace starling::edgeconv {

inline constexpr int kSumParts = 4;        // of a row's sum
inline constexpr int kBitsPerRecord = 64;  // features of a record: see Records

template <typename T>
STARLING_HOST_DEVICE std::int64_t num_entries(const EdgeConv<T>& conv) {
  return conv.neighbor_row_splits != nullptr ? conv.num_entries : std::int64_t{conv.num_rows} * conv.k;
}

/// Where the list of a row begins.
template <typename T>
STARLING_HOST_DEVICE std::int64_t first_entry(const EdgeConv<T>& conv, std::int64_t row) {
  return conv.neighbor_row_splits != nullptr ? conv.neighbor_row_splits[row] : row * conv.k;
}

template <typename T>
STARLING_HOST_DEVICE bool is_source(const EdgeConv<T>& conv, std::int32_t index) {
  return static_cast<std::uint32_t>(index) < static_cast<std::uint32_t>(conv.num_sources);
}

/// Of a row of the output.
template <typename T>
STARLING_HOST_DEVICE int width_of(const EdgeConv<T>& conv) {
  return conv.weight != nullptr ? conv.outputs : conv.hidden;
}

/// NaN stays NaN.
template <typename T>
STARLING_HOST_DEVICE T relu_of(T x) {
  return x < T(0) ? T(0) : x;
}

/// Whether a message that stands later in its list takes the maximum from one before. The first NaN wins for good.
template <typename T>
STARLING_HOST_DEVICE bool later_wins(T before, T later) {
  return later > before || (later != later && before == before);
}

/// What a row's gradient is multiplied by to be that of each of its messages, for mean and sum.
template <typename T>
STARLING_HOST_DEVICE T scale_of(const EdgeConv<T>& conv, std::int32_t found) {
  if (conv.aggregation == EdgeAggregation::sum) return T(1);
  return found == 0 ? T(0) : T(1) / T(found);
}

/// ∂L/∂p_i of one feature: `gradient` is the row's, `kept` its value of EdgeConvResult::kept.
template <typename T>
STARLING_HOST_DEVICE T target_gradient_of(const EdgeConv<T>& conv, T gradient, std::int32_t found, std::int32_t kept) {
  if (found == 0) return T(0);
  if (conv.relu) return gradient * scale_of(conv, found) * T(kept);
  return conv.aggregation == EdgeAggregation::sum ? gradient * T(found) : gradient;
}

/// Outputs whose terms of ∂L/∂p_i are added up first, with weight.
inline constexpr int kOutputBlock = 16;

/// The rows whose share of the weights' gradient is one partial sum: the number of rows and of such blocks.
struct RowBlocks {
  std::int32_t rows, count;
};

template <typename T>
STARLING_HOST_DEVICE RowBlocks row_blocks(const EdgeConv<T>& conv) {
  const std::int64_t room = (std::int64_t{1} << 22) / (std::int64_t{conv.outputs} * conv.hidden);
  const std::int64_t most = room < 64 ? 64 : (room > 768 ? 768 : room);
  const std::int64_t each = (conv.num_rows + most - 1) / most;
  const std::int32_t rows = each < 64 ? 64 : static_cast<std::int32_t>(each);
  return {rows, static_cast<std::int32_t>((std::int64_t{conv.num_rows} + rows - 1) / rows)};
}

/// For which features an entry is its row's maximum: feature f is bit f % 64 of records[f / 64 · entries + entry].
using Record = std::uint64_t;

STARLING_HOST_DEVICE int record_blocks(int width) { return (width + kBitsPerRecord - 1) / kBitsPerRecord; }

}  // namespace starling::edgeconv
