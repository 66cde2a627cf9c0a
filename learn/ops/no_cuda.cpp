#include <torch/library.h>

#include "learn/ops/operands.h"
#include "starling/device.h"

namespace starling::ops {
namespace {

void no_cuda(const c10::OperatorHandle& op, torch::jit::Stack*) {
  translating_errors(op.operator_name().name.c_str(), [] { require_cuda(); });
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, CUDA, m) {
  for (const char* const op : {"knn",
                               "radius",
                               "_distance_gradient",
                               "_distance_tangent",
                               "aggregate",
                               "_aggregate_gradient",
                               "edge_conv",
                               "_edge_conv_gradient",
                               "gravnet",
                               "_gravnet_gradient",
                               "condensation_loss",
                               "_condensation_gradient",
                               "condense",
                               "check_edges",
                               "edges_of_nodes",
                               "interaction_step",
                               "_interaction_step_gradient",
                               "mlp_rows",
                               "_mlp_rows_gradient",
                               "gather_ends",
                               "sum_ends",
                               "_quantize_values",
                               "_quantize_values_gradient",
                               "_quantize_rows",
                               "_quantize_rows_gradient",
                               "_quantize_weights",
                               "_quantize_weights_gradient"})
    m.impl(op, torch::CppFunction::makeFromBoxedFunction<&no_cuda>());
}

}  // namespace starling::ops
