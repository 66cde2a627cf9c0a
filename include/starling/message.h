#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "starling/device.h"
#include "starling/half.h"
#include "starling/lists.h"

namespace starling {

/// What the mean of messages is divided by.
enum class MeanDivisor {
  found,    ///< the neighbours that the list holds
  all,      ///< k, absent neighbours too; lists of k each only
  weights,  ///< the sum of the weights
};

/// Messages over neighbour lists: row i receives w_ij h_j from each source j of its list, and their mean and maximum
/// are taken feature by feature (docs/definitions.md, Messages). T, in which all is computed, is float or double.
/// Features, aggregates and their gradients are stored as S: T, or for float Float16 or BFloat16. All pointers are
/// memory of the device that the operation runs on. Rows and sources may be the same points or not.
template <typename T, typename S = T>
struct Messages {
  /// Row of the source of each entry, or −1 for none: [num_rows, k], or CSR where neighbor_row_splits is not null. At
  /// most 2^31 − 1 entries.
  const std::int32_t* index = nullptr;
  std::int32_t num_rows = 0;
  int k = 0;                                          ///< ignored where neighbor_row_splits is not null
  const std::int64_t* neighbor_row_splits = nullptr;  ///< [num_rows + 1]
  std::int64_t num_entries = 0;                       ///< the last row split; ignored where there are none

  const S* features = nullptr;  ///< h [num_sources, width], row-major
  std::int32_t num_sources = 0;
  int width = 0;  ///< 1..kMaxMessageWidth

  /// [entries] w = exp(−factor d²); +infinity gives 0. Null: `weight` holds w, and where that is null too w = 1.
  const T* distance2 = nullptr;
  T factor = 10;  ///< not negative, finite
  const T* weight = nullptr;

  MeanDivisor divisor = MeanDivisor::found;
  /// A list with fewer than k sources has a message of value 0 for the maximum, behind all others. Lists of k each
  /// only.
  bool absent_is_zero = false;
  /// Rows are the sources, and each gets its own features minus the aggregate: h_i − mean, h_i − max.
  bool subtract = false;

  Holders holders = {};  ///< of the lists, for aggregate_gradient(), where the caller has them
};

inline constexpr int kMaxMessageWidth = 1024;

/// What the maximum's slot is where absent_is_zero and that 0 is the maximum, and where a list is empty.
inline constexpr std::int32_t kNoSlot = -1;

/// Aggregates of the messages: mean and maximum [num_rows, width] in rows of `stride` ≥ width values, so that both may
/// stand in one array [num_rows, 2 width]. Either may be null: not wanted.
template <typename S>
struct Aggregates {
  S* mean = nullptr;
  S* max = nullptr;
  std::int64_t stride = 0;
  /// [num_rows, width] place in its list of the entry that is the maximum; of equal ones the first. Backward needs it.
  std::int32_t* max_slot = nullptr;
};

/// Computes mean and maximum of every row's messages; a row without sources gets 0 (then, with `subtract`, its own
/// features). No [entries, width] array is made and nothing is allocated. A message that is NaN makes mean and maximum
/// NaN.
///
/// The sum has kMessageParts parts, entries at place n of a list in part n mod kMessageParts in ascending order,
/// combined by halves, without fused multiply-adds: the same bytes on any number of threads, at every instruction level
/// and on the device. Throws ErrorKind::usage naming sizes and rule for wrong arguments; on the host ErrorKind::input
/// naming the entry for an index that is no row of the sources, which counts as −1 on a device.
template <typename T, typename S>
void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out, const Execution& execution = {});
inline constexpr int kMessageParts = 4;

/// The gradients of aggregates, laid out as they are; either of mean and max may be null: zero.
template <typename S>
struct AggregateGradients {
  const S* mean = nullptr;
  const S* max = nullptr;
  std::int64_t stride = 0;
  const std::int32_t* max_slot = nullptr;  ///< as aggregate() wrote it; needed with `max`
};

/// Bytes of workspace of aggregate_gradient(): at most 16 per entry (20 with row splits; none where `holders` are
/// given), 4 more for each 32 features, and 72 per row or source. Reads no array.
template <typename T, typename S>
std::size_t aggregate_gradient_workspace_bytes(const Messages<T, S>& messages, const Execution& execution = {});

/// Gradients of L with respect to the features, features_gradient [num_sources, width], and to d² (where distance2 is
/// given) or the weights, weight_gradient [entries]: 0 for entries of −1. Either may be null: not wanted. Sums run over
/// a source's entries in ascending order as those of aggregate() do: the same bytes everywhere. Errors as aggregate().
template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients,
                        std::type_identity_t<S>* features_gradient, std::type_identity_t<T>* weight_gradient,
                        std::span<std::byte> workspace, const Execution& execution = {});

}  // namespace starling
