#pragma once

#include <cstddef>
#include <span>

#include "lists/lists.h"
#include "message/arithmetic.h"
#include "starling/message.h"

// What stands behind the public functions of message.h, whose names these have, once they have checked their arguments:
// on the host (host/), or on a CUDA device (cuda/; without CUDA in the build no_cuda.cpp, which throws).
namespace starling::message {

template <typename T, typename S>
Lists lists_of(const Messages<T, S>& messages) {
  return {messages.index,        messages.num_rows,   messages.k, messages.neighbor_row_splits,
          num_entries(messages), messages.num_sources};
}

namespace host {

template <typename T, typename S>
void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out);
template <typename T, typename S>
std::size_t gradient_workspace_bytes(const Messages<T, S>& messages);
template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, S* features_gradient,
                        T* weight_gradient, std::span<std::byte> workspace);

}  // namespace host

namespace cuda {

template <typename T, typename S>
void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out, const Execution& execution);
template <typename T, typename S>
std::size_t gradient_workspace_bytes(const Messages<T, S>& messages);
template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, S* features_gradient,
                        T* weight_gradient, std::span<std::byte> workspace, const Execution& execution);

}  // namespace cuda
}  // namespace starling::message
