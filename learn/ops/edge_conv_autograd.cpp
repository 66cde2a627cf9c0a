#include <ATen/Functions.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include <string>

#include "learn/ops/autograd.h"
#include "learn/ops/edge_conv_kernels.h"

// The gradient is an operator of its own. It is not differentiable: EdgeConv can be differentiated once.
namespace starling::ops {
namespace {

using EdgeConvSignature = EdgeConvTensors(const at::Tensor&, const at::Tensor&, const at::Tensor&, const MaybeTensor&,
                                          const MaybeTensor&, const MaybeTensor&, std::string_view, bool,
                                          std::optional<bool>);
using EdgeConvGradientSignature = EdgeConvGradientTensors(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                          const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
                                                          std::string_view, bool, const at::Tensor&, const at::Tensor&);

/// Saved are target, source, index, row splits, weight, bias and what edge_conv() kept; gradients go to target, source,
/// weight and bias.
struct EdgeConvBackward : SavingNode {
  std::string aggr;
  bool relu = false;

  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined()) return {{}, {}, {}, {}};
    static const auto op = find<EdgeConvGradientSignature>("starling::_edge_conv_gradient");
    const variable_list tensors = saved();
    const MaybeTensor weight = maybe(tensors, 4), bias = maybe(tensors, 5);
    const auto& [of_target, of_source, of_weight, of_bias] = op.call(
        tensors[0], tensors[1], tensors[2], maybe(tensors, 3), weight, bias, aggr, relu, gradients[0], tensors[6]);
    return {of_target, of_source, weight ? of_weight : at::Tensor(), bias ? of_bias : at::Tensor()};
  }
};

/// Keeps the gradient in the graph, so that a second derivative fails instead of being taken for 0.
struct EdgeConvGradientBackward : SavingNode {
  variable_list apply(variable_list&&) override {
    TORCH_CHECK_NOT_IMPLEMENTED(false,
                                "starling::edge_conv: the second derivative is not there: expected to be "
                                "differentiated once");
  }
};

EdgeConvTensors differentiable_edge_conv(const at::Tensor& target, const at::Tensor& source, const at::Tensor& index,
                                         const MaybeTensor& splits, const MaybeTensor& weight, const MaybeTensor& bias,
                                         std::string_view aggr, bool relu, std::optional<bool> tf32) {
  static const auto op = find<EdgeConvSignature>("starling::edge_conv");
  EdgeConvTensors result;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    result = op.call(target, source, index, splits, weight, bias, aggr, relu, tf32);
  }
  if (compute_requires_grad(target, source, weight, bias)) {
    const auto node =
        make_node<EdgeConvBackward>({target, source, value_or_undefined(weight), value_or_undefined(bias)},
                                    {target, source, index, value_or_undefined(splits), value_or_undefined(weight),
                                     value_or_undefined(bias), std::get<1>(result)});
    auto& backward = static_cast<EdgeConvBackward&>(*node);
    backward.aggr = std::string(aggr);
    backward.relu = relu;
    set_history(std::get<0>(result), node);
  }
  TORCH_CHECK_NOT_IMPLEMENTED(!moves(target) && !moves(source) && !moves(weight) && !moves(bias),
                              "starling::edge_conv: forward mode is not there: expected reverse mode");
  return result;
}

EdgeConvGradientTensors once_differentiable_edge_conv_gradient(const at::Tensor& target, const at::Tensor& source,
                                                               const at::Tensor& index, const MaybeTensor& splits,
                                                               const MaybeTensor& weight, const MaybeTensor& bias,
                                                               std::string_view aggr, bool relu,
                                                               const at::Tensor& out_gradient, const at::Tensor& kept) {
  static const auto op = find<EdgeConvGradientSignature>("starling::_edge_conv_gradient");
  EdgeConvGradientTensors gradients;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    gradients = op.call(target, source, index, splits, weight, bias, aggr, relu, out_gradient, kept);
  }
  if (compute_requires_grad(target, source, weight, bias, out_gradient)) {
    const auto node = make_node<EdgeConvGradientBackward>(
        {target, source, value_or_undefined(weight), value_or_undefined(bias), out_gradient}, {});
    std::apply([&](const auto&... gradient) { (set_history(gradient, node), ...); }, gradients);
  }
  return gradients;
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("edge_conv", TORCH_FN(differentiable_edge_conv));
  m.impl("_edge_conv_gradient", TORCH_FN(once_differentiable_edge_conv_gradient));
}

}  // namespace starling::ops
