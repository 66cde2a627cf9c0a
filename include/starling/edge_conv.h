#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "starling/device.h"

namespace starling {

/// How the messages of a list become one row.
enum class EdgeAggregation {
  max,   ///< of equal values the first in the list
  mean,  ///< over the neighbours that the list holds
  sum,
};

/// EdgeConv (arXiv:1801.07829) over neighbour lists: row i gets the aggregate over its sources j of MLP([x_i ‖ x_j −
/// x_i]) (docs/definitions.md, EdgeConv). The first linear layer, W = [W₁ ‖ W₂], is split by node, and the caller
/// multiplies: p_i = (W₁ − W₂) x_i + b and q_j = W₂ x_j. The message of an edge is then one of
///
///   p_i + q_j                        one linear layer; max, mean or sum
///   ReLU(p_i + q_j)                  `relu`; mean or sum. A second linear layer of the result gives the same as one
///                                    before the mean or sum.
///   weight · ReLU(p_i + q_j) + bias  `relu` and `weight`: two linear layers; max
///
/// T is float or double. All pointers are memory of the device that the operation runs on. Rows and sources may be the
/// same points or not.
template <typename T>
struct EdgeConv {
  /// Row of the source of each entry, or −1 for none: [num_rows, k], or CSR where neighbor_row_splits is not null. At
  /// most 2^31 − 1 entries.
  const std::int32_t* index = nullptr;
  std::int32_t num_rows = 0;
  int k = 0;                                          ///< ignored where neighbor_row_splits is not null
  const std::int64_t* neighbor_row_splits = nullptr;  ///< [num_rows + 1]
  std::int64_t num_entries = 0;                       ///< the last row split; ignored where there are none

  const T* target = nullptr;  ///< p [num_rows, hidden], row-major
  const T* source = nullptr;  ///< q [num_sources, hidden]
  std::int32_t num_sources = 0;
  int hidden = 0;  ///< 1..kMaxEdgeWidth, with `weight` 1..kMaxFusedEdgeWidth

  EdgeAggregation aggregation = EdgeAggregation::max;
  bool relu = false;
  const T* weight = nullptr;  ///< [outputs, hidden], or null
  const T* bias = nullptr;    ///< [outputs]; null: 0
  int outputs = 0;            ///< 1..kMaxFusedEdgeWidth; ignored without `weight`
  /// On a device, float: the product with `weight` rounds its operands to TF32 (10 bits of mantissa). Otherwise each
  /// operand is the sum of two TF32 numbers, which is about as exact as float; then an infinite p + q gives NaN.
  bool tf32 = false;
};

inline constexpr int kMaxEdgeWidth = 1024;
inline constexpr int kMaxFusedEdgeWidth = 256;

/// What edge_conv() writes; `width` is `outputs` with a weight, else `hidden`.
template <typename T>
struct EdgeConvResult {
  T* out = nullptr;  ///< [num_rows, width]; 0 where a list holds no source
  /// [num_rows, width], for edge_conv_gradient(); null: not wanted. max: the place in its list of the entry that is the
  /// maximum, −1 for a list without sources. mean or sum with `relu`: how many messages are above 0. Otherwise unused.
  std::int32_t* kept = nullptr;
  std::int32_t* found = nullptr;  ///< [num_rows] sources in each list; null: not wanted
};

/// Bytes of workspace of edge_conv(): on the host those of the weight, on a device at most 16 per row and 1 MB. Reads
/// no array.
template <typename T>
std::size_t edge_conv_workspace_bytes(const EdgeConv<T>& conv, const Execution& execution = {});

/// Computes every row's aggregate. No [entries, hidden] array is made and nothing is allocated. A message that is NaN
/// makes its aggregate NaN.
///
/// Without `weight` the sums have four parts, entries at place n of a list in part n mod 4 in ascending order, combined
/// by halves, without fused multiply-adds: the same bytes on any number of threads, at every instruction level and on
/// the device. With `weight` the bytes are the same on any number of threads and at every level, and on a device in
/// every run; between host and device they differ by rounding. Throws ErrorKind::usage naming sizes and rule for wrong
/// arguments; on the host ErrorKind::input naming the entry for an index that is no row of the sources, which counts
/// as −1 on a device.
template <typename T>
void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::span<std::byte> workspace,
               const Execution& execution = {});

/// The gradients that edge_conv_gradient() writes; null: not wanted.
template <typename T>
struct EdgeConvGradients {
  T* target = nullptr;  ///< [num_rows, hidden]
  T* source = nullptr;  ///< [num_sources, hidden]
  T* weight = nullptr;  ///< [outputs, hidden]; null without `weight`
  T* bias = nullptr;    ///< [outputs]; null without `weight`
};

/// Bytes of workspace of edge_conv_gradient(): for each entry at most 16 (20 with row splits), for max 8 more for each
/// 64 features, with `weight` also for each 64 hidden ones; 72 per row or source; with `weight` 2^22 numbers at most.
/// Reads no array.
template <typename T>
std::size_t edge_conv_gradient_workspace_bytes(const EdgeConv<T>& conv, const Execution& execution = {});

/// Gradients of L from `out_gradient` [num_rows, width] and `kept` as edge_conv() wrote it (may be null where that is
/// unused). A ReLU has gradient 0 at 0. Sums run over a source's entries in ascending order, those of weights over rows
/// in blocks that depend on the sizes alone: given the same `kept`, the same bytes everywhere, on a device too. Errors
/// as edge_conv().
template <typename T>
void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                        const EdgeConvGradients<T>& gradients, std::span<std::byte> workspace,
                        const Execution& execution = {});

}  // namespace starling
