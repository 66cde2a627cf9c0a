#include "starling/message.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "memory/arguments.h"
#include "memory/layout.h"
#include "message/arithmetic.h"
#include "message/backends.h"
#include "starling/error.h"

namespace starling {
namespace {

using memory::check_count;
using memory::check_there;
using memory::usage;
using message::num_entries;

template <typename T, typename S>
void check(const Messages<T, S>& messages, const char* function) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const bool csr = messages.neighbor_row_splits != nullptr;
  check_count(function, "num_rows", messages.num_rows, 0, kMost);
  check_count(function, "num_sources", messages.num_sources, 0, kMost);
  check_count(function, "width", messages.width, 1, kMaxMessageWidth);
  if (!csr) check_count(function, "k", messages.k, 0, kMost);
  check_count(function, "the number of entries", num_entries(messages), 0, kMost);
  check_there(function, "index", messages.index, num_entries(messages));
  check_there(function, "features", messages.features, messages.num_sources);
  if (!(messages.factor >= T(0)) || !std::isfinite(messages.factor))
    usage(function, "factor is " + std::to_string(messages.factor) + ": expected a finite number of at least 0");
  if (messages.distance2 != nullptr && messages.weight != nullptr)
    usage(function, "distance2 and weight are both given: expected one of them");
  if (csr && messages.divisor == MeanDivisor::all)
    usage(function, "divisor is `all` and the lists have row splits: expected lists of k each");
  if (csr && messages.absent_is_zero)
    usage(function, "absent_is_zero and the lists have row splits: expected lists of k each");
  if (messages.subtract && messages.num_rows != messages.num_sources) {
    usage(function, "subtract with " + std::to_string(messages.num_rows) + " rows and " +
                        std::to_string(messages.num_sources) + " sources: expected the same points");
  }
}

void check_stride(const char* function, bool any, std::int64_t stride, int width) {
  if (any && stride < width)
    usage(function, "stride is " + std::to_string(stride) + ": expected at least the width, " + std::to_string(width));
}

}  // namespace

template <typename T, typename S>
void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out, const Execution& execution) {
  const char* const function = "aggregate";
  check(messages, function);
  check_stride(function, out.mean != nullptr || out.max != nullptr, out.stride, messages.width);
  if (execution.device == Device::cuda) return message::cuda::aggregate(messages, out, execution);
  message::host::aggregate(messages, out);
}

template <typename T, typename S>
std::size_t aggregate_gradient_workspace_bytes(const Messages<T, S>& messages, const Execution& execution) {
  check(messages, "aggregate_gradient_workspace_bytes");
  if (execution.device == Device::cuda) return message::cuda::gradient_workspace_bytes(messages);
  return message::host::gradient_workspace_bytes(messages);
}

template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients,
                        std::type_identity_t<S>* features_gradient, std::type_identity_t<T>* weight_gradient,
                        std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "aggregate_gradient";
  memory::check_workspace(workspace, aggregate_gradient_workspace_bytes(messages, execution), function);
  check_stride(function, gradients.mean != nullptr || gradients.max != nullptr, gradients.stride, messages.width);
  if (gradients.max != nullptr) check_there(function, "max_slot", gradients.max_slot, messages.num_rows);
  if (execution.device == Device::cuda) {
    return message::cuda::aggregate_gradient(messages, gradients, features_gradient, weight_gradient, workspace,
                                             execution);
  }
  message::host::aggregate_gradient(messages, gradients, features_gradient, weight_gradient, workspace);
}

#define STARLING_INSTANTIATE(T, S)                                                                                    \
  template void aggregate(const Messages<T, S>&, const Aggregates<S>&, const Execution&);                             \
  template std::size_t aggregate_gradient_workspace_bytes(const Messages<T, S>&, const Execution&);                   \
  template void aggregate_gradient(const Messages<T, S>&, const AggregateGradients<S>&, S*, T*, std::span<std::byte>, \
                                   const Execution&)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(double, double);
STARLING_INSTANTIATE(float, Float16);
STARLING_INSTANTIATE(float, BFloat16);
#undef STARLING_INSTANTIATE

}  // namespace starling
