#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include <string>

#include "learn/ops/autograd.h"
#include "learn/ops/message_kernels.h"

// With the slots of the maximum held, the aggregate A is linear in the features h and in the weights w, so the gradient
// <g, A> has H(w, g) along h and W(h, g) along w, and all further derivatives are made of A, H and W again:
// <u, H(w, g)> has W(u, g) along w and A(w, u) along g; <v, W(h, g)> has H(v, g) along h and A(v, h) along g.
// Where w = exp(−f d²), ∂L/∂d² = −f w ∂L/∂w.
namespace starling::ops {
namespace {

Aggregated call_aggregate(const at::Tensor& features, const at::Tensor& index, const MaybeTensor& splits,
                          const MaybeTensor& distance2, const MaybeTensor& weight, const MessageOptions& options) {
  static const auto op =
      find<Aggregated(const at::Tensor&, const at::Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
                      double, std::string_view, bool, bool)>("starling::aggregate");
  return op.call(features, index, splits, distance2, weight, options.factor, options.divisor, options.absent_is_zero,
                 options.subtract);
}

std::tuple<at::Tensor, at::Tensor> call_gradient(const at::Tensor& features, const at::Tensor& index,
                                                 const MaybeTensor& splits, const MaybeTensor& distance2,
                                                 const MaybeTensor& weight, const MessageOptions& options,
                                                 const at::Tensor& out_gradient, const at::Tensor& max_slot) {
  static const auto op = find<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&, double,
      std::string_view, bool, bool, const at::Tensor&, const at::Tensor&)>("starling::_aggregate_gradient");
  return op.call(features, index, splits, distance2, weight, options.factor, options.divisor, options.absent_is_zero,
                 options.subtract, out_gradient, max_slot);
}

/// Saved are features, index, splits, distance2, weight, max_slot; gradients go to features and distance2 or weight.
struct AggregateBackward : SavingNode {
  MessageOptions options;
  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined()) return {{}, {}};
    const variable_list tensors = saved();
    auto [features_gradient, weight_gradient] =
        call_gradient(tensors[0], tensors[1], maybe(tensors, 2), maybe(tensors, 3), maybe(tensors, 4), options,
                      gradients[0], tensors[5]);
    return {std::move(features_gradient), std::move(weight_gradient)};
  }
};

/// `w` with w = exp(−f d²) where the distances are given; undefined where all weights are 1.
at::Tensor weights_of(const at::Tensor& distance2, const at::Tensor& weight, double factor) {
  return distance2.defined() ? at::exp(distance2 * -factor) : weight;
}

/// Aggregates that are not of the form mean ‖ max of one list's own maximum: those at the slots that are held.
at::Tensor at_slots(const at::Tensor& values, const at::Tensor& weights, const at::Tensor& index,
                    const MaybeTensor& splits, const at::Tensor& max_slot) {
  const at::Tensor none = max_slot.lt(0);
  at::Tensor place = max_slot.clamp_min(0).to(at::kLong);
  place = splits ? place + splits->narrow(0, 0, max_slot.size(0)).unsqueeze(1)
                 : place + at::arange(max_slot.size(0), place.options()).unsqueeze(1) * index.size(1);
  place = place.masked_fill(none, 0);
  const at::Tensor source = index.reshape({-1}).index({place}).clamp_min(0);
  at::Tensor chosen = values.gather(0, source);
  if (weights.defined()) chosen = chosen * weights.reshape({-1}).index({place});
  return chosen.masked_fill(none, 0);
}

/// H and W: saved are features, index, splits, distance2, weight, out_gradient, max_slot; gradients go to features,
/// distance2 or weight, and out_gradient.
struct AggregateGradientBackward : SavingNode {
  MessageOptions options;
  variable_list apply(variable_list&& gradients) override {
    TORCH_CHECK_NOT_IMPLEMENTED(options.divisor != "weights",
                                "starling::aggregate: the second derivative with divisor 'weights' is not there: "
                                "expected 'found' or 'all'");
    const variable_list tensors = saved();
    const at::Tensor &index = tensors[1], &distance2 = tensors[3], &max_slot = tensors[6];
    // Torch rounds gradients to the types that are stored.
    const at::Tensor features = computed(tensors[0]), g = computed(tensors[5]);
    const MaybeTensor splits = maybe(tensors, 2);
    const at::Tensor w = weights_of(distance2, tensors[4], options.factor);
    const MaybeTensor maybe_w = w.defined() ? MaybeTensor(w) : std::nullopt;
    const double f = options.factor;
    // u goes with the gradient of the features; v with that of the weights.
    const at::Tensor u = gradients[0].defined() ? computed(gradients[0]) : at::Tensor();
    at::Tensor v = gradients[1];
    if (v.defined() && distance2.defined()) v = v * w * -f;
    variable_list result(3);
    const auto add = [](at::Tensor& sum, const at::Tensor& term) { sum = sum.defined() ? sum + term : term; };
    MessageOptions plain = options;
    plain.subtract = false;
    const double sign = options.subtract ? -1 : 1;
    if (u.defined()) {
      if (task_should_compute_output(1)) {
        // Rows' own features depend on no weight.
        at::Tensor of_w = std::get<1>(call_gradient(u, index, splits, std::nullopt, maybe_w, options, g, max_slot));
        add(result[1], distance2.defined() ? of_w * w * -f : of_w);
      }
      if (task_should_compute_output(2))
        add(result[2], aggregate_held(u, index, splits, maybe_w, plain, max_slot, sign));
      if (options.subtract && task_should_compute_output(2)) add(result[2], at::cat({u, u}, 1));
    }
    if (v.defined()) {
      if (task_should_compute_output(0)) {
        at::Tensor of_h = std::get<0>(call_gradient(features, index, splits, std::nullopt, v, plain, g, max_slot));
        add(result[0], sign * of_h);
      }
      if (task_should_compute_output(1) && distance2.defined()) {
        const at::Tensor of_w =
            std::get<1>(call_gradient(features, index, splits, std::nullopt, maybe_w, options, g, max_slot));
        add(result[1], v * of_w * -f);
      }
      if (task_should_compute_output(2))
        add(result[2], aggregate_held(features, index, splits, v, plain, max_slot, sign));
    }
    return result;
  }

 private:
  /// The aggregate with the slots held, without the rows' own features, times `sign`.
  static at::Tensor aggregate_held(const at::Tensor& values, const at::Tensor& index, const MaybeTensor& splits,
                                   const MaybeTensor& weights, const MessageOptions& options,
                                   const at::Tensor& max_slot, double sign) {
    const at::Tensor out = std::get<0>(call_aggregate(values, index, splits, std::nullopt, weights, options));
    const at::Tensor max = at_slots(values, value_or_undefined(weights), index, splits, max_slot);
    return sign * at::cat({out.narrow(1, 0, values.size(1)), max}, 1);
  }
};

Aggregated differentiable_aggregate(const at::Tensor& features, const at::Tensor& index, const MaybeTensor& splits,
                                    const MaybeTensor& distance2, const MaybeTensor& weight, double factor,
                                    std::string_view divisor, bool absent_is_zero, bool subtract) {
  const MessageOptions options{factor, std::string(divisor), absent_is_zero, subtract};
  check_floating("starling::aggregate", "features", features);
  if (distance2) check_computed_alike("starling::aggregate", "distance2", *distance2, "features", features);
  if (weight) check_computed_alike("starling::aggregate", "weight", *weight, "features", features);
  const MaybeTensor d2 = computed(distance2), w = computed(weight);
  at::Tensor out, max_slot;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(out, max_slot) = call_aggregate(features, index, splits, d2, w, options);
  }
  if (compute_requires_grad(features, d2, w)) {
    const at::Tensor moving = value_or_undefined(d2 ? d2 : w);
    const auto node = make_node<AggregateBackward>(
        {features, moving},
        {features, index, value_or_undefined(splits), value_or_undefined(d2), value_or_undefined(w), max_slot});
    static_cast<AggregateBackward&>(*node).options = options;
    set_history(out, node);
  }
  TORCH_CHECK_NOT_IMPLEMENTED(!moves(features) && !moves(d2) && !moves(w),
                              "starling::aggregate: forward mode is not there: expected reverse mode");
  return {std::move(out), std::move(max_slot)};
}

std::tuple<at::Tensor, at::Tensor> differentiable_gradient(const at::Tensor& features, const at::Tensor& index,
                                                           const MaybeTensor& splits, const MaybeTensor& distance2,
                                                           const MaybeTensor& weight, double factor,
                                                           std::string_view divisor, bool absent_is_zero, bool subtract,
                                                           const at::Tensor& out_gradient, const at::Tensor& max_slot) {
  const MessageOptions options{factor, std::string(divisor), absent_is_zero, subtract};
  std::tuple<at::Tensor, at::Tensor> result;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    result = call_gradient(features, index, splits, distance2, weight, options, out_gradient, max_slot);
  }
  if (compute_requires_grad(features, distance2, weight, out_gradient)) {
    const auto node = make_node<AggregateGradientBackward>(
        {features, value_or_undefined(distance2 ? distance2 : weight), out_gradient},
        {features, index, value_or_undefined(splits), value_or_undefined(distance2), value_or_undefined(weight),
         out_gradient, max_slot});
    static_cast<AggregateGradientBackward&>(*node).options = options;
    set_history(std::get<0>(result), node);
    set_history(std::get<1>(result), node);
  }
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("aggregate", TORCH_FN(differentiable_aggregate));
  m.impl("_aggregate_gradient", TORCH_FN(differentiable_gradient));
}

}  // namespace starling::ops
