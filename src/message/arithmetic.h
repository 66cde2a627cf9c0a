#pragma once

#include <cstdint>

#include "arithmetic/elementary.h"
#include "arithmetic/host_device.h"
#include "starling/message.h"

namespace starling::message {

template <typename T, typename S>
STARLING_HOST_DEVICE std::int64_t num_entries(const Messages<T, S>& messages) {
  return messages.neighbor_row_splits != nullptr ? messages.num_entries : std::int64_t{messages.num_rows} * messages.k;
}

/// Where the list of a row begins.
template <typename T, typename S>
STARLING_HOST_DEVICE std::int64_t first_entry(const Messages<T, S>& messages, std::int64_t row) {
  return messages.neighbor_row_splits != nullptr ? messages.neighbor_row_splits[row] : row * messages.k;
}

template <typename T, typename S>
STARLING_HOST_DEVICE bool is_source(const Messages<T, S>& messages, std::int32_t index) {
  return static_cast<std::uint32_t>(index) < static_cast<std::uint32_t>(messages.num_sources);
}

template <typename T, typename S>
STARLING_HOST_DEVICE T weight_of(const Messages<T, S>& messages, std::int64_t entry) {
  if (messages.distance2 != nullptr) return arithmetic::exponential(-messages.factor * messages.distance2[entry]);
  return messages.weight != nullptr ? messages.weight[entry] : T(1);
}

/// Whether a message that stands later in its list takes the maximum from one before. The first NaN wins for good.
template <typename T>
STARLING_HOST_DEVICE bool later_wins(T before, T later) {
  return later > before || (later != later && before == before);
}

/// What the sum of a row's messages is divided by: 0 where there are none.
template <typename T, typename S>
STARLING_HOST_DEVICE T divisor_of(const Messages<T, S>& messages, std::int32_t found, T weights) {
  if (messages.divisor == MeanDivisor::weights) return weights;
  return T(messages.divisor == MeanDivisor::all ? messages.k : found);
}

/// The factor of a row's mean in the gradient of its messages.
template <typename T>
STARLING_HOST_DEVICE T inverse_of(T divisor) {
  return divisor == T(0) ? T(0) : T(1) / divisor;
}

/// ∂L/∂m of one feature of a message: `scaled` is the mean's gradient times inverse_of().
template <typename T>
STARLING_HOST_DEVICE T message_gradient(T scaled, bool is_max, T max_gradient) {
  return scaled + (is_max ? max_gradient : T(0));
}

/// ∂L/∂d² of a weight exp(−factor d²) from ∂L/∂w.
template <typename T>
STARLING_HOST_DEVICE T distance_gradient_of(T factor, T weight, T weight_gradient) {
  return -factor * weight * weight_gradient;
}

}  // namespace starling::message
