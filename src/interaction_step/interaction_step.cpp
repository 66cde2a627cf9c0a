#include "starling/interaction_step.h"

#include <limits>
#include <string>

#include "interaction_step/backends.h"
#include "memory/arguments.h"
#include "memory/layout.h"
#include "starling/error.h"

namespace starling {
namespace {

using memory::check_count;
using memory::check_there;
using memory::usage;

constexpr std::int64_t kMostRows = std::numeric_limits<std::int32_t>::max();

void check_shape(const MlpShape& shape, const char* function) {
  check_count(function, "inputs", shape.inputs, 1, kMaxTrainedWidth);
  check_count(function, "hidden", shape.hidden, 1, kMaxTrainedWidth);
  check_count(function, "outputs", shape.outputs, 1, kMaxTrainedWidth);
  check_count(function, "layers", shape.layers, 2, 3);
}

template <typename T>
constexpr bool kOnDevice = !std::is_same_v<T, double>;

template <typename T>
void check_type(const Execution& execution, const char* function) {
  if (execution.device == Device::cuda && !kOnDevice<T>)
    usage(function, "double on a device: expected float or bfloat16");
}

template <typename In, typename Out>
void check(const MlpRows<In, Out>& rows, const Execution& execution, const char* function) {
  check_type<Out>(execution, function);
  check_shape(rows.shape, function);
  check_count(function, "num_rows", rows.num_rows, 0, kMostRows);
}

template <typename In, typename Out>
void check_arrays(const MlpRows<In, Out>& rows, const char* function) {
  check_there(function, "parameters", rows.parameters, 1);
  check_there(function, "inputs", rows.inputs, rows.num_rows);
}

template <typename S>
void check_sizes(const InteractionStep<S>& step, const Execution& execution, const char* function) {
  check_type<S>(execution, function);
  check_count(function, "hidden", step.hidden, 1, kMaxTrainedWidth);
  check_count(function, "num_nodes", step.num_nodes, 0, kMostRows);
  check_count(function, "num_edges", step.num_edges, 0, kMostRows);
}

void check_holders(const Holders& holders, const char* name, std::int32_t num_edges, const char* function) {
  check_there(function, (std::string(name) + ".begin").c_str(), holders.begin, 1);
  check_there(function, (std::string(name) + ".entry").c_str(), holders.entry, num_edges);
}

template <typename S>
void check_arrays(const InteractionStep<S>& step, const char* function) {
  check_there(function, "x", step.x, step.num_nodes);
  check_there(function, "e", step.e, step.num_edges);
  if (step.concat) {
    check_there(function, "x0", step.x0, step.num_nodes);
    check_there(function, "e0", step.e0, step.num_edges);
  }
  check_there(function, "src", step.src, step.num_edges);
  check_there(function, "dst", step.dst, step.num_edges);
  check_there(function, "edge_parameters", step.edge_parameters, 1);
  check_holders(step.outgoing, "outgoing", step.num_edges, function);
  check_holders(step.incoming, "incoming", step.num_edges, function);
}

void check(const EdgeEnds& ends, const char* function) {
  check_count(function, "num_nodes", ends.num_nodes, 0, kMostRows);
  check_count(function, "num_edges", ends.num_edges, 0, kMostRows);
  check_count(function, "width", ends.width, 1, kMostRows);
}

}  // namespace

std::int64_t parameter_count(const MlpShape& shape) {
  check_shape(shape, "parameter_count");
  return interactionstep::count_of(shape);
}

template <typename S>
std::int64_t edge_parameter_count(const InteractionStep<S>& step) {
  check_count("edge_parameter_count", "hidden", step.hidden, 1, kMaxTrainedWidth);
  return interactionstep::count_of(interactionstep::edge_shape(step));
}
template <typename S>
std::int64_t node_parameter_count(const InteractionStep<S>& step) {
  check_count("node_parameter_count", "hidden", step.hidden, 1, kMaxTrainedWidth);
  return interactionstep::count_of(interactionstep::node_shape(step));
}

template <typename In, typename Out>
std::size_t mlp_rows_workspace_bytes(const MlpRows<In, Out>& rows, const Execution& execution) {
  check(rows, execution, "mlp_rows_workspace_bytes");
  if constexpr (kOnDevice<Out>) {
    if (execution.device == Device::cuda) return interactionstep::cuda::workspace_bytes(rows);
  }
  return 0;
}

template <typename In, typename Out>
std::size_t mlp_rows_gradient_workspace_bytes(const MlpRows<In, Out>& rows, const Execution& execution) {
  check(rows, execution, "mlp_rows_gradient_workspace_bytes");
  if constexpr (kOnDevice<Out>) {
    if (execution.device == Device::cuda) return interactionstep::cuda::gradient_workspace_bytes(rows);
  }
  return 0;
}

template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>& rows, Out* out, std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "mlp_rows";
  check(rows, execution, function);
  check_arrays(rows, function);
  check_there(function, "out", out, rows.num_rows);
  memory::check_workspace(workspace, mlp_rows_workspace_bytes(rows, execution), function);
  if constexpr (kOnDevice<Out>) {
    if (execution.device == Device::cuda) return interactionstep::cuda::mlp_rows(rows, out, workspace, execution);
  }
  interactionstep::host::mlp_rows(rows, out);
}

template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                       ParameterOf<Out>* parameters_gradient, std::span<std::byte> workspace,
                       const Execution& execution) {
  const char* const function = "mlp_rows_gradient";
  check(rows, execution, function);
  check_arrays(rows, function);
  check_there(function, "out_gradient", out_gradient, rows.num_rows);
  check_there(function, "parameters_gradient", parameters_gradient, 1);
  memory::check_workspace(workspace, mlp_rows_gradient_workspace_bytes(rows, execution), function);
  if constexpr (kOnDevice<Out>) {
    if (execution.device == Device::cuda)
      return interactionstep::cuda::mlp_rows_gradient(rows, out_gradient, inputs_gradient, parameters_gradient,
                                                      workspace, execution);
  }
  interactionstep::host::mlp_rows_gradient(rows, out_gradient, inputs_gradient, parameters_gradient);
}

template <typename S>
std::size_t interaction_step_workspace_bytes(const InteractionStep<S>& step, const Execution& execution) {
  check_sizes(step, execution, "interaction_step_workspace_bytes");
  if constexpr (kOnDevice<S>) {
    if (execution.device == Device::cuda) return interactionstep::cuda::workspace_bytes(step);
  }
  return 0;
}

template <typename S>
std::size_t interaction_step_gradient_workspace_bytes(const InteractionStep<S>& step, const Execution& execution) {
  check_sizes(step, execution, "interaction_step_gradient_workspace_bytes");
  if constexpr (kOnDevice<S>) {
    if (execution.device == Device::cuda) return interactionstep::cuda::gradient_workspace_bytes(step);
  }
  return 0;
}

template <typename S>
void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes, std::span<std::byte> workspace,
                      const Execution& execution) {
  const char* const function = "interaction_step";
  check_sizes(step, execution, function);
  check_arrays(step, function);
  check_there(function, "edges", edges, step.num_edges);
  if (step.node_parameters != nullptr) check_there(function, "nodes", nodes, step.num_nodes);
  memory::check_workspace(workspace, interaction_step_workspace_bytes(step, execution), function);
  if constexpr (kOnDevice<S>) {
    if (execution.device == Device::cuda)
      return interactionstep::cuda::interaction_step(step, edges, nodes, workspace, execution);
  }
  interactionstep::host::interaction_step(step, edges, nodes);
}

template <typename S>
void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                               const S* nodes_gradient, const InteractionStepGradients<S>& gradients,
                               std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "interaction_step_gradient";
  check_sizes(step, execution, function);
  check_arrays(step, function);
  check_there(function, "edges", edges, step.num_edges);
  check_there(function, "gradients.x", gradients.x, step.num_nodes);
  check_there(function, "gradients.e", gradients.e, step.num_edges);
  check_there(function, "gradients.edge_parameters", gradients.edge_parameters, 1);
  if (step.concat) {
    check_there(function, "gradients.x0", gradients.x0, step.num_nodes);
    check_there(function, "gradients.e0", gradients.e0, step.num_edges);
  }
  if (step.node_parameters != nullptr) {
    check_there(function, "nodes_gradient", nodes_gradient, step.num_nodes);
    check_there(function, "gradients.node_parameters", gradients.node_parameters, 1);
  } else {
    check_there(function, "edges_gradient", edges_gradient, step.num_edges);
  }
  memory::check_workspace(workspace, interaction_step_gradient_workspace_bytes(step, execution), function);
  if constexpr (kOnDevice<S>) {
    if (execution.device == Device::cuda)
      return interactionstep::cuda::interaction_step_gradient(step, edges, edges_gradient, nodes_gradient, gradients,
                                                              workspace, execution);
  }
  interactionstep::host::interaction_step_gradient(step, edges, edges_gradient, nodes_gradient, gradients);
}

void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges, const Execution& execution) {
  const char* const function = "gather_ends";
  check(ends, function);
  check_there(function, "first", ends.first, ends.num_edges);
  check_there(function, "second", ends.second, ends.num_edges);
  check_there(function, "nodes", nodes, ends.num_edges);
  check_there(function, "edges", edges, ends.num_edges);
  if (execution.device == Device::cuda) return interactionstep::cuda::gather_ends(ends, nodes, edges, execution);
  interactionstep::host::gather_ends(ends, nodes, edges);
}

void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes, const Execution& execution) {
  const char* const function = "sum_ends";
  check(ends, function);
  check_holders(ends.at_first, "at_first", ends.num_edges, function);
  check_holders(ends.at_second, "at_second", ends.num_edges, function);
  check_there(function, "edges", edges, ends.num_edges);
  check_there(function, "nodes", nodes, ends.num_nodes);
  if (execution.device == Device::cuda) return interactionstep::cuda::sum_ends(ends, edges, nodes, execution);
  interactionstep::host::sum_ends(ends, edges, nodes);
}

#define STARLING_INSTANTIATE(In, Out)                                                                                \
  template std::size_t mlp_rows_workspace_bytes(const MlpRows<In, Out>&, const Execution&);                          \
  template std::size_t mlp_rows_gradient_workspace_bytes(const MlpRows<In, Out>&, const Execution&);                 \
  template void mlp_rows(const MlpRows<In, Out>&, Out*, std::span<std::byte>, const Execution&);                     \
  template void mlp_rows_gradient(const MlpRows<In, Out>&, const Out*, In*, ParameterOf<Out>*, std::span<std::byte>, \
                                  const Execution&)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(float, BFloat16);
STARLING_INSTANTIATE(BFloat16, BFloat16);
STARLING_INSTANTIATE(BFloat16, float);
STARLING_INSTANTIATE(double, double);
#undef STARLING_INSTANTIATE

#define STARLING_INSTANTIATE(S)                                                                                \
  template std::int64_t edge_parameter_count(const InteractionStep<S>&);                                       \
  template std::int64_t node_parameter_count(const InteractionStep<S>&);                                       \
  template std::size_t interaction_step_workspace_bytes(const InteractionStep<S>&, const Execution&);          \
  template std::size_t interaction_step_gradient_workspace_bytes(const InteractionStep<S>&, const Execution&); \
  template void interaction_step(const InteractionStep<S>&, S*, S*, std::span<std::byte>, const Execution&);   \
  template void interaction_step_gradient(const InteractionStep<S>&, const S*, const S*, const S*,             \
                                          const InteractionStepGradients<S>&, std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(BFloat16);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling
