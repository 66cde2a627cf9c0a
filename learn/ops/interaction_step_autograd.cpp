#include <ATen/Functions.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include "learn/ops/autograd.h"
#include "learn/ops/interaction_step_kernels.h"

// Gradients are operators of their own and not differentiable: networks can be differentiated once.
namespace starling::ops {
namespace {

using StepSignature = StepTensors(const at::Tensor&, const MaybeTensor&, const at::Tensor&, const MaybeTensor&,
                                  const at::Tensor&, const at::Tensor&, at::TensorList, const at::Tensor&,
                                  const MaybeTensor&, bool, bool, std::optional<bool>);
using StepGradientSignature = StepGradientTensors(const at::Tensor&, const MaybeTensor&, const at::Tensor&,
                                                  const MaybeTensor&, const at::Tensor&, const at::Tensor&,
                                                  at::TensorList, const at::Tensor&, const MaybeTensor&, bool, bool,
                                                  std::optional<bool>, const at::Tensor&, const MaybeTensor&,
                                                  const MaybeTensor&);
using MlpSignature = at::Tensor(const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t, std::int64_t, bool,
                                bool, bool, std::optional<at::ScalarType>, std::optional<bool>);
using MlpGradientSignature = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, std::int64_t,
                                                                std::int64_t, std::int64_t, bool, bool, bool,
                                                                std::optional<bool>, const at::Tensor&, bool);

void refuse_forward_mode(const char* op, std::initializer_list<MaybeTensor> tensors) {
  for (const MaybeTensor& tensor : tensors)
    TORCH_CHECK_NOT_IMPLEMENTED(!moves(tensor), op, ": forward mode is not there: expected reverse mode");
}

/// Keeps a gradient in the graph, so that a second derivative fails instead of being taken for 0.
struct OnceBackward : SavingNode {
  const char* op = "";
  variable_list apply(variable_list&&) override {
    TORCH_CHECK_NOT_IMPLEMENTED(false, op, ": the second derivative is not there: expected to be differentiated once");
  }
};

/// Saved are x, x0, e, e0, src, dst, the four lists, the parameters of edges and of nodes, and e' without its node.
struct StepBackward : SavingNode {
  bool bias = true, norm = true;
  std::optional<bool> tf32;

  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined() && !gradients[1].defined()) return variable_list(6);
    static const auto op = find<StepGradientSignature>("starling::_interaction_step_gradient");
    const variable_list tensors = saved();
    const MaybeTensor x0 = maybe(tensors, 1), e0 = maybe(tensors, 3), node_parameters = maybe(tensors, 11);
    const std::vector<at::Tensor> lists(tensors.begin() + 6, tensors.begin() + 10);
    const MaybeTensor of_edges =
        node_parameters && !gradients[0].defined() ? MaybeTensor() : MaybeTensor(or_zeros(gradients[0], tensors[2]));
    const MaybeTensor of_nodes = node_parameters ? MaybeTensor(or_zeros(gradients[1], tensors[0])) : std::nullopt;
    auto [of_x, of_x0, of_e, of_e0, of_edge_parameters, of_node_parameters] =
        op.call(tensors[0], x0, tensors[2], e0, tensors[4], tensors[5], lists, tensors[10], node_parameters, bias, norm,
                tf32, tensors[12], of_edges, of_nodes);
    return {of_x,
            x0 ? of_x0 : at::Tensor(),
            of_e,
            e0 ? of_e0 : at::Tensor(),
            of_edge_parameters,
            node_parameters ? of_node_parameters : at::Tensor()};
  }
};

StepTensors differentiable_step(const at::Tensor& x, const MaybeTensor& x0, const at::Tensor& e, const MaybeTensor& e0,
                                const at::Tensor& src, const at::Tensor& dst, at::TensorList lists,
                                const at::Tensor& edge_parameters, const MaybeTensor& node_parameters, bool bias,
                                bool norm, std::optional<bool> tf32) {
  const char* const name = "starling::interaction_step";
  static const auto op = find<StepSignature>(name);
  at::Tensor edges, nodes, kept;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(edges, nodes) = op.call(x, x0, e, e0, src, dst, lists, edge_parameters, node_parameters, bias, norm, tf32);
    kept = edges.detach();  // edges itself will hold the node
  }
  if (compute_requires_grad(x, x0, e, e0, edge_parameters, node_parameters)) {
    const at::Tensor first_x = value_or_undefined(x0), first_e = value_or_undefined(e0),
                     of_nodes = value_or_undefined(node_parameters);
    const auto node = make_node<StepBackward>(
        {x, first_x, e, first_e, edge_parameters, of_nodes},
        {x, first_x, e, first_e, src, dst, lists[0], lists[1], lists[2], lists[3], edge_parameters, of_nodes, kept});
    auto& backward = static_cast<StepBackward&>(*node);
    backward.bias = bias;
    backward.norm = norm;
    backward.tf32 = tf32;
    set_history(edges, node);
    set_history(nodes, node);
  }
  refuse_forward_mode(name, {x, x0, e, e0, edge_parameters, node_parameters});
  return {edges, nodes};
}

StepGradientTensors once_differentiable_step_gradient(
    const at::Tensor& x, const MaybeTensor& x0, const at::Tensor& e, const MaybeTensor& e0, const at::Tensor& src,
    const at::Tensor& dst, at::TensorList lists, const at::Tensor& edge_parameters, const MaybeTensor& node_parameters,
    bool bias, bool norm, std::optional<bool> tf32, const at::Tensor& edges, const MaybeTensor& edges_gradient,
    const MaybeTensor& nodes_gradient) {
  static const auto op = find<StepGradientSignature>("starling::_interaction_step_gradient");
  StepGradientTensors gradients;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    gradients = op.call(x, x0, e, e0, src, dst, lists, edge_parameters, node_parameters, bias, norm, tf32, edges,
                        edges_gradient, nodes_gradient);
  }
  if (compute_requires_grad(x, x0, e, e0, edge_parameters, node_parameters, edges, edges_gradient, nodes_gradient)) {
    const auto node = make_node<OnceBackward>(
        {x, value_or_undefined(x0), e, value_or_undefined(e0), edge_parameters, value_or_undefined(node_parameters),
         edges, value_or_undefined(edges_gradient), value_or_undefined(nodes_gradient)},
        {});
    static_cast<OnceBackward&>(*node).op = "starling::interaction_step";
    std::apply([&](const auto&... gradient) { (set_history(gradient, node), ...); }, gradients);
  }
  return gradients;
}

/// Saved are inputs and parameters.
struct MlpBackward : SavingNode {
  std::int64_t hidden = 0, outputs = 0, layers = 0;
  bool bias = true, norm = true, relu = true;
  std::optional<bool> tf32;

  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined()) return variable_list(2);
    static const auto op = find<MlpGradientSignature>("starling::_mlp_rows_gradient");
    const variable_list tensors = saved();
    const bool wants_inputs = task_should_compute_output(0);
    auto [of_inputs, of_parameters] =
        op.call(tensors[0], tensors[1], hidden, outputs, layers, bias, norm, relu, tf32, gradients[0], wants_inputs);
    return {wants_inputs ? of_inputs : at::Tensor(), of_parameters};
  }
};

at::Tensor differentiable_mlp(const at::Tensor& inputs, const at::Tensor& parameters, std::int64_t hidden,
                              std::int64_t outputs, std::int64_t layers, bool bias, bool norm, bool relu,
                              std::optional<at::ScalarType> type, std::optional<bool> tf32) {
  const char* const name = "starling::mlp_rows";
  static const auto op = find<MlpSignature>(name);
  at::Tensor out;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    out = op.call(inputs, parameters, hidden, outputs, layers, bias, norm, relu, type, tf32);
  }
  if (compute_requires_grad(inputs, parameters)) {
    const auto node = make_node<MlpBackward>({inputs, parameters}, {inputs, parameters});
    auto& backward = static_cast<MlpBackward&>(*node);
    backward.hidden = hidden;
    backward.outputs = outputs;
    backward.layers = layers;
    backward.bias = bias;
    backward.norm = norm;
    backward.relu = relu;
    backward.tf32 = tf32;
    set_history(out, node);
  }
  refuse_forward_mode(name, {inputs, parameters});
  return out;
}

std::tuple<at::Tensor, at::Tensor> once_differentiable_mlp_gradient(const at::Tensor& inputs,
                                                                    const at::Tensor& parameters, std::int64_t hidden,
                                                                    std::int64_t outputs, std::int64_t layers,
                                                                    bool bias, bool norm, bool relu,
                                                                    std::optional<bool> tf32,
                                                                    const at::Tensor& out_gradient, bool wants_inputs) {
  static const auto op = find<MlpGradientSignature>("starling::_mlp_rows_gradient");
  std::tuple<at::Tensor, at::Tensor> gradients;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    gradients =
        op.call(inputs, parameters, hidden, outputs, layers, bias, norm, relu, tf32, out_gradient, wants_inputs);
  }
  if (compute_requires_grad(inputs, parameters, out_gradient)) {
    const auto node = make_node<OnceBackward>({inputs, parameters, out_gradient}, {});
    static_cast<OnceBackward&>(*node).op = "starling::mlp_rows";
    std::apply([&](const auto&... gradient) { (set_history(gradient, node), ...); }, gradients);
  }
  return gradients;
}

using EndsSignature = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, at::TensorList);

at::Tensor call_ends(const char* name, const at::Tensor& rows, const variable_list& ends) {
  return find<EndsSignature>(name).call(rows, ends[0], ends[1], at::TensorList(ends).slice(2));
}

/// Each of gather_ends and sum_ends is the gradient of the other, and so on. Saved are first, second and the lists.
struct EndsBackward : SavingNode {
  const char* gradient = "";
  variable_list apply(variable_list&& gradients) override {
    return {gradients[0].defined() ? call_ends(gradient, gradients[0], saved()) : at::Tensor()};
  }
};

at::Tensor differentiable_ends(const char* name, const char* gradient, const at::Tensor& rows, const at::Tensor& first,
                               const at::Tensor& second, at::TensorList lists) {
  variable_list ends{first, second};
  ends.insert(ends.end(), lists.begin(), lists.end());
  at::Tensor out;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    out = call_ends(name, rows, ends);
  }
  if (compute_requires_grad(rows)) {
    const auto node = make_node<EndsBackward>({rows}, ends);
    static_cast<EndsBackward&>(*node).gradient = gradient;
    set_history(out, node);
  }
  if (moves(rows)) set_tangent(out, call_ends(name, tangent(rows), ends));
  return out;
}

at::Tensor differentiable_gather_ends(const at::Tensor& nodes, const at::Tensor& first, const at::Tensor& second,
                                      at::TensorList lists) {
  return differentiable_ends("starling::gather_ends", "starling::sum_ends", nodes, first, second, lists);
}
at::Tensor differentiable_sum_ends(const at::Tensor& edges, const at::Tensor& first, const at::Tensor& second,
                                   at::TensorList lists) {
  return differentiable_ends("starling::sum_ends", "starling::gather_ends", edges, first, second, lists);
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("gather_ends", TORCH_FN(differentiable_gather_ends));
  m.impl("sum_ends", TORCH_FN(differentiable_sum_ends));
  m.impl("interaction_step", TORCH_FN(differentiable_step));
  m.impl("_interaction_step_gradient", TORCH_FN(once_differentiable_step_gradient));
  m.impl("mlp_rows", TORCH_FN(differentiable_mlp));
  m.impl("_mlp_rows_gradient", TORCH_FN(once_differentiable_mlp_gradient));
}

}  // namespace starling::ops
