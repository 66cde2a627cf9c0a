#include "starling/edge_conv.h"

#include <limits>
#include <string>

#include "edge_conv/backends.h"
#include "edge_conv/formulas.h"
#include "memory/arguments.h"
#include "memory/layout.h"
#include "starling/error.h"

namespace starling {
namespace {

using memory::check_count;
using memory::check_there;
using memory::usage;

template <typename T>
void check(const EdgeConv<T>& conv, const char* function) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const bool has_weight = conv.weight != nullptr, is_max = conv.aggregation == EdgeAggregation::max;
  check_count(function, "num_rows", conv.num_rows, 0, kMost);
  check_count(function, "num_sources", conv.num_sources, 0, kMost);
  check_count(function, "hidden", conv.hidden, 1, has_weight ? kMaxFusedEdgeWidth : kMaxEdgeWidth);
  if (has_weight) check_count(function, "outputs", conv.outputs, 1, kMaxFusedEdgeWidth);
  if (conv.neighbor_row_splits == nullptr) check_count(function, "k", conv.k, 0, kMost);
  const std::int64_t entries = edgeconv::num_entries(conv);
  check_count(function, "the number of entries", entries, 0, kMost);
  check_there(function, "index", conv.index, entries);
  check_there(function, "target", conv.target, conv.num_rows);
  check_there(function, "source", conv.source, conv.num_sources);
  if (has_weight && !(is_max && conv.relu))
    usage(function, "weight is given without max and relu: expected both, or the layer applied to the mean or sum");
  if (!has_weight && is_max && conv.relu)
    usage(function, "max with relu and without weight: expected the ReLU to be taken of the maximum");
  if (!has_weight && conv.bias != nullptr) usage(function, "bias is given without weight: expected both or none");
}

template <typename T>
bool needs_kept(const EdgeConv<T>& conv) {
  return conv.aggregation == EdgeAggregation::max || conv.relu;
}

}  // namespace

template <typename T>
std::size_t edge_conv_workspace_bytes(const EdgeConv<T>& conv, const Execution& execution) {
  check(conv, "edge_conv_workspace_bytes");
  if (execution.device == Device::cuda) return edgeconv::cuda::workspace_bytes(conv);
  return edgeconv::host::workspace_bytes(conv);
}

template <typename T>
void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::span<std::byte> workspace,
               const Execution& execution) {
  const char* const function = "edge_conv";
  check(conv, function);
  check_there(function, "out", result.out, conv.num_rows);
  memory::check_workspace(workspace, edge_conv_workspace_bytes(conv, execution), function);
  if (execution.device == Device::cuda) return edgeconv::cuda::edge_conv(conv, result, workspace, execution);
  edgeconv::host::edge_conv(conv, result, workspace);
}

template <typename T>
std::size_t edge_conv_gradient_workspace_bytes(const EdgeConv<T>& conv, const Execution& execution) {
  check(conv, "edge_conv_gradient_workspace_bytes");
  if (execution.device == Device::cuda) return edgeconv::cuda::gradient_workspace_bytes(conv);
  return edgeconv::host::gradient_workspace_bytes(conv);
}

template <typename T>
void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                        const EdgeConvGradients<T>& gradients, std::span<std::byte> workspace,
                        const Execution& execution) {
  const char* const function = "edge_conv_gradient";
  check(conv, function);
  check_there(function, "out_gradient", out_gradient, conv.num_rows);
  if (needs_kept(conv)) check_there(function, "kept", kept, conv.num_rows);
  if (conv.weight == nullptr && (gradients.weight != nullptr || gradients.bias != nullptr))
    usage(function, "the gradient of weight or bias is wanted and there is no weight: expected null");
  memory::check_workspace(workspace, edge_conv_gradient_workspace_bytes(conv, execution), function);
  if (execution.device == Device::cuda)
    return edgeconv::cuda::edge_conv_gradient(conv, out_gradient, kept, gradients, workspace, execution);
  edgeconv::host::edge_conv_gradient(conv, out_gradient, kept, gradients, workspace);
}

#define STARLING_INSTANTIATE(T)                                                                                    \
  template std::size_t edge_conv_workspace_bytes(const EdgeConv<T>&, const Execution&);                            \
  template void edge_conv(const EdgeConv<T>&, const EdgeConvResult<T>&, std::span<std::byte>, const Execution&);   \
  template std::size_t edge_conv_gradient_workspace_bytes(const EdgeConv<T>&, const Execution&);                   \
  template void edge_conv_gradient(const EdgeConv<T>&, const T*, const std::int32_t*, const EdgeConvGradients<T>&, \
                                   std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling
