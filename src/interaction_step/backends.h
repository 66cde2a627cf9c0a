#pragma once

#include <cstddef>
#include <span>

#include "starling/interaction_step.h"

// What stands behind the public functions of interaction_step.h once they have checked their arguments: on the host
// (interaction_step_reference.cpp), or on a CUDA device (cuda/; without CUDA in the build no_cuda.cpp, which throws).
namespace starling::interactionstep {

/// The MLPs of a step; first layers see several arrays side by side, of H columns each.
template <typename S>
int edge_inputs(const InteractionStep<S>& step) {
  return step.concat ? 6 : 3;
}
template <typename S>
int node_inputs(const InteractionStep<S>& step) {
  return step.concat ? 4 : 3;
}
template <typename S>
MlpShape edge_shape(const InteractionStep<S>& step) {
  return {edge_inputs(step) * step.hidden, step.hidden, step.hidden, 3, step.bias, step.norm, true};
}
template <typename S>
MlpShape node_shape(const InteractionStep<S>& step) {
  return {node_inputs(step) * step.hidden, step.hidden, step.hidden, 3, step.bias, step.norm, true};
}

/// One layer of an MLP, and where its parameters begin.
struct LayerShape {
  int in = 0, out = 0;
  std::int64_t weight = 0, bias = -1;  ///< −1: none
  bool norm = false, relu = false;
};
inline LayerShape layer_of(const MlpShape& shape, int layer) {
  LayerShape result;
  std::int64_t at = 0;
  for (int l = 0; l <= layer; ++l) {
    result.in = l == 0 ? shape.inputs : shape.hidden;
    result.out = l + 1 == shape.layers ? shape.outputs : shape.hidden;
    result.weight = at;
    at += std::int64_t{result.in} * result.out;
    result.bias = shape.bias ? at : -1;
    if (shape.bias) at += result.out;
  }
  const bool last = layer + 1 == shape.layers;
  result.norm = shape.norm && !last;
  result.relu = shape.relu || !last;
  return result;
}
/// Without a check of the shape.
inline std::int64_t count_of(const MlpShape& shape) {
  const LayerShape last = layer_of(shape, shape.layers - 1);
  return last.weight + std::int64_t{last.in} * last.out + (shape.bias ? last.out : 0);
}

namespace host {

template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>& rows, Out* out);
template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                       ParameterOf<Out>* parameters_gradient);
template <typename S>
void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes);
template <typename S>
void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                               const S* nodes_gradient, const InteractionStepGradients<S>& gradients);

void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges);
void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes);

}  // namespace host

namespace cuda {

template <typename In, typename Out>
std::size_t workspace_bytes(const MlpRows<In, Out>& rows);
template <typename In, typename Out>
std::size_t gradient_workspace_bytes(const MlpRows<In, Out>& rows);
template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>& rows, Out* out, std::span<std::byte> workspace, const Execution& execution);
template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                       ParameterOf<Out>* parameters_gradient, std::span<std::byte> workspace,
                       const Execution& execution);

template <typename S>
std::size_t workspace_bytes(const InteractionStep<S>& step);
template <typename S>
std::size_t gradient_workspace_bytes(const InteractionStep<S>& step);
template <typename S>
void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes, std::span<std::byte> workspace,
                      const Execution& execution);
template <typename S>
void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                               const S* nodes_gradient, const InteractionStepGradients<S>& gradients,
                               std::span<std::byte> workspace, const Execution& execution);

void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges, const Execution& execution);
void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes, const Execution& execution);

}  // namespace cuda
}  // namespace starling::interactionstep
