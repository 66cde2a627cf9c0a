#include <ATen/Functions.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include <string>

#include "learn/ops/autograd.h"
#include "learn/ops/condensation_kernels.h"

// The gradient of the terms is an operator of its own. It is not differentiable: the loss can be differentiated once.
namespace starling::ops {
namespace {

using LossSignature = CondensationTensors(const at::Tensor&, const at::Tensor&, const at::Tensor&, const MaybeTensor&,
                                          const MaybeTensor&, const MaybeTensor&, const MaybeTensor&, std::string_view,
                                          bool, double, double, std::string_view, bool);
using GradientSignature = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
    const MaybeTensor&, std::string_view, bool, double, double, std::string_view, bool, const at::Tensor&,
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&);

/// Saved are beta, x, truth, row_splits, scale, weight, payload; gradients go to beta, x, scale and payload.
struct CondensationBackward : SavingNode {
  CondensationChoices choices;
  std::int64_t events = 1;

  variable_list apply(variable_list&& gradients) override {
    static const auto op = find<GradientSignature>("starling::_condensation_gradient");
    const variable_list tensors = saved();
    const at::Tensor& beta = tensors[0];
    const MaybeTensor scale = maybe(tensors, 4), payload = maybe(tensors, 6);
    const std::int64_t channels = payload ? payload->size(1) : 0;
    for (std::size_t i = 0; i < 5; ++i) {
      if (gradients[i].defined()) continue;
      gradients[i] = i < 4 ? at::zeros({events}, beta.options()) : at::zeros({events, channels}, beta.options());
    }
    const auto& [of_beta, of_x, of_scale, of_payload] =
        op.call(beta, tensors[1], tensors[2], maybe(tensors, 3), scale, maybe(tensors, 5), payload, choices.form,
                choices.soft, choices.q_min, choices.centre, choices.scale, choices.payload_per_event, gradients[0],
                gradients[1], gradients[2], gradients[3], gradients[4]);
    return {of_beta, of_x, scale ? of_scale : at::Tensor(), payload ? of_payload : at::Tensor()};
  }
};

/// Keeps the gradient in the graph, so that a second derivative fails instead of being taken for 0.
struct CondensationGradientBackward : SavingNode {
  variable_list apply(variable_list&&) override {
    TORCH_CHECK_NOT_IMPLEMENTED(false,
                                "starling::condensation_loss: the second derivative is not there: expected to be "
                                "differentiated once");
  }
};

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> once_differentiable_gradient(
    const at::Tensor& beta, const at::Tensor& x, const at::Tensor& truth, const MaybeTensor& row_splits,
    const MaybeTensor& scale, const MaybeTensor& weight, const MaybeTensor& payload, std::string_view form, bool soft,
    double q_min, double centre, std::string_view scale_of, bool payload_per_event, const at::Tensor& of_attraction,
    const at::Tensor& of_repulsion, const at::Tensor& of_objects, const at::Tensor& of_noise,
    const at::Tensor& of_payload) {
  static const auto op = find<GradientSignature>("starling::_condensation_gradient");
  std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> gradients;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    gradients = op.call(beta, x, truth, row_splits, scale, weight, payload, form, soft, q_min, centre, scale_of,
                        payload_per_event, of_attraction, of_repulsion, of_objects, of_noise, of_payload);
  }
  if (compute_requires_grad(beta, x, scale, weight, payload, of_attraction, of_repulsion, of_objects, of_noise,
                            of_payload)) {
    const auto node = make_node<CondensationGradientBackward>(
        {beta, x, value_or_undefined(scale), value_or_undefined(weight), value_or_undefined(payload), of_attraction,
         of_repulsion, of_objects, of_noise, of_payload},
        {});
    std::apply([&](const auto&... gradient) { (set_history(gradient, node), ...); }, gradients);
  }
  return gradients;
}

CondensationTensors differentiable_loss(const at::Tensor& beta, const at::Tensor& x, const at::Tensor& truth,
                                        const MaybeTensor& row_splits, const MaybeTensor& scale,
                                        const MaybeTensor& weight, const MaybeTensor& payload, std::string_view form,
                                        bool soft, double q_min, double centre, std::string_view scale_of,
                                        bool payload_per_event) {
  static const auto op = find<LossSignature>("starling::condensation_loss");
  check_types("starling::condensation_loss", {beta, x, truth, row_splits, scale, weight, payload});
  const at::Tensor b = computed(beta);
  const auto like_b = [&](const MaybeTensor& values) {
    return values ? MaybeTensor(values->to(b.scalar_type())) : values;
  };
  const at::Tensor coordinates = x.to(b.scalar_type());
  const MaybeTensor phi = like_b(scale), w = like_b(weight), losses = like_b(payload);
  CondensationTensors out;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    out = op.call(b, coordinates, truth, row_splits, phi, w, losses, form, soft, q_min, centre, scale_of,
                  payload_per_event);
  }
  if (compute_requires_grad(b, coordinates, phi, losses)) {
    const auto node =
        make_node<CondensationBackward>({b, coordinates, value_or_undefined(phi), value_or_undefined(losses)},
                                        {b, coordinates, truth, value_or_undefined(row_splits), value_or_undefined(phi),
                                         value_or_undefined(w), value_or_undefined(losses)});
    auto& backward = static_cast<CondensationBackward&>(*node);
    backward.choices = {std::string(form), std::string(scale_of), soft, q_min, centre, payload_per_event};
    backward.events = std::get<0>(out).size(0);
    std::apply([&](const auto&... term) { (set_history(term, node), ...); }, out);
  }
  TORCH_CHECK_NOT_IMPLEMENTED(!moves(b) && !moves(coordinates) && !moves(phi) && !moves(losses),
                              "starling::condensation_loss: forward mode is not there: expected reverse mode");
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("condensation_loss", TORCH_FN(differentiable_loss));
  m.impl("_condensation_gradient", TORCH_FN(once_differentiable_gradient));
}

}  // namespace starling::ops
