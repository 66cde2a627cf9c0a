#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "learn/ops/autograd.h"

// Fake quantisation: values rounded to codes and back, with the straight-through gradients of docs/definitions.md,
// Fake quantisation. Every line of a formula there is one operation here, in its order, so that the bits agree.
namespace starling::ops {
namespace {

constexpr double kLeast = 1e-10;  ///< of a maximum and of a threshold

struct Rounding {
  double divisor = 1.;          ///< scale = magnitude / divisor
  double low = 0., high = 0.;   ///< codes
  double least = 0.;            ///< of the magnitude
  bool bound_scale = false;     ///< the bound is on the scale, not on the magnitude
  bool passes_outside = false;  ///< gradients of values whose code is cut off
  bool power_of_two = false;    ///< the scale is rounded up to one
};

/// [rows] as [rows, 1, ...], to go with x.
at::Tensor beside(const at::Tensor& scale, const at::Tensor& x) {
  if (scale.dim() == 0) return scale;
  std::vector<c10::SymInt> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = scale.sym_size(0);
  return scale.view_symint(shape);
}

at::Tensor exact_scale(const at::Tensor& magnitude, const Rounding& rounding) {
  const at::Tensor size = magnitude.abs();
  return rounding.bound_scale ? (size / rounding.divisor).clamp_min(rounding.least)
                              : size.clamp_min(rounding.least) / rounding.divisor;
}

/// The least power of two that is not below.
at::Tensor power_of_two(const at::Tensor& scale) {
  const auto [mantissa, exponent] = at::frexp(scale);  // mantissa in [0.5, 1)
  return at::ldexp(at::ones_like(scale), exponent - mantissa.eq(0.5).to(exponent.scalar_type()));
}

std::tuple<at::Tensor, at::Tensor> fake_quantize(const at::Tensor& x, const at::Tensor& magnitude, double divisor,
                                                 double low, double high, double least, bool bound_scale,
                                                 bool passes_outside, bool powers_of_two) {
  const Rounding rounding{divisor, low, high, least, bound_scale, passes_outside, powers_of_two};
  at::Tensor scale = exact_scale(magnitude, rounding);
  if (powers_of_two) scale = power_of_two(scale);
  const at::Tensor step = beside(scale, x);
  at::Tensor values = x / step;
  values.add_(0).round_().clamp_(low, high).mul_(step);
  return {std::move(values), std::move(scale)};
}

/// Saved are x, magnitude and scale; gradients go to x and magnitude.
struct FakeQuantizeBackward : SavingNode {
  Rounding rounding;

  variable_list apply(variable_list&& gradients) override {
    TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(),
                                "starling::fake quantisation: the second derivative is not there");
    const variable_list tensors = saved();
    const at::Tensor &x = tensors[0], &magnitude = tensors[1], &scale = tensors[2];
    variable_list result(2);
    at::Tensor of_scale = gradients[1];
    if (gradients[0].defined()) {
      const at::Tensor &g = gradients[0], step = beside(scale, x), gs = g * step;
      at::Tensor u = x / step;
      const at::Tensor rounded = (u + 0).round_(), code = rounded.clamp(rounding.low, rounding.high);
      const at::Tensor inside = rounding.passes_outside ? at::Tensor() : rounded.eq(code);
      const auto masked = [&](const at::Tensor& values) {
        return inside.defined() ? at::where(inside, values, 0) : values;
      };
      if (task_should_compute_output(0)) result[0] = masked(gs / step);
      if (task_should_compute_output(1)) {
        const at::Tensor terms = (g * code).sub_(masked(u.div_(step).mul_(gs)));
        const at::Tensor sums = scale.dim() == 0 ? terms.sum() : terms.dim() == 1 ? terms : terms.flatten(1).sum(1);
        of_scale = of_scale.defined() ? of_scale + sums : sums;
      }
    }
    if (of_scale.defined() && task_should_compute_output(1)) {
      at::Tensor of_magnitude = of_scale / rounding.divisor;
      if (rounding.power_of_two) of_magnitude = of_magnitude * (scale / exact_scale(magnitude, rounding));
      result[1] = magnitude.sgn() * of_magnitude;
    }
    return result;
  }
};

using Quantized = std::tuple<at::Tensor, at::Tensor>;

Quantized call_fake_quantize(const at::Tensor& x, const at::Tensor& magnitude, const Rounding& r) {
  static const auto op =
      find<Quantized(const at::Tensor&, const at::Tensor&, double, double, double, double, bool, bool, bool)>(
          "starling::_fake_quantize");
  return op.call(x, magnitude, r.divisor, r.low, r.high, r.least, r.bound_scale, r.passes_outside, r.power_of_two);
}

Quantized differentiable_fake_quantize(const at::Tensor& x, const at::Tensor& magnitude, double divisor, double low,
                                       double high, double least, bool bound_scale, bool passes_outside,
                                       bool powers_of_two) {
  const Rounding rounding{divisor, low, high, least, bound_scale, passes_outside, powers_of_two};
  at::Tensor values, scale;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(values, scale) = call_fake_quantize(x, magnitude, rounding);
  }
  TORCH_CHECK_NOT_IMPLEMENTED(!moves(x) && !moves(magnitude),
                              "starling::fake quantisation: forward mode is not there: expected reverse mode");
  if (compute_requires_grad(x, magnitude)) {
    const auto node = make_node<FakeQuantizeBackward>({x, magnitude}, {x, magnitude, scale.detach()});
    static_cast<FakeQuantizeBackward&>(*node).rounding = rounding;
    set_history(values, node);
    set_history(scale, node);
  }
  return {std::move(values), std::move(scale)};
}

void check_bits(const char* op, const char* name, std::int64_t bits, std::int64_t most) {
  TORCH_CHECK_VALUE(bits >= 2 && bits <= most, op, ": ", name, " is ", bits, ": expected 2 to ", most);
}

Quantized quantize_weight(const at::Tensor& weight, std::int64_t bits, bool per_channel, bool powers_of_two) {
  constexpr const char* kOp = "starling::quantize_weight";
  check_floating(kOp, "weight", weight);
  check_bits(kOp, "bits", bits, 12);
  TORCH_CHECK_VALUE(weight.dim() >= 2, kOp, ": weight has shape ", weight.sym_sizes(), ": expected [outputs, inputs]");
  const double most = std::exp2(bits - 1) - 1;
  const at::Tensor w = computed(weight), size = w.abs();
  const at::Tensor largest = per_channel ? size.flatten(1).amax(1) : size.amax();
  return call_fake_quantize(w, largest,
                            {.divisor = most,
                             .low = -most,
                             .high = most,
                             .least = kLeast,
                             .passes_outside = true,
                             .power_of_two = powers_of_two});
}

Quantized quantize_activation(const at::Tensor& x, const at::Tensor& threshold, std::int64_t bits, bool is_signed,
                              bool powers_of_two, bool bound_scale) {
  constexpr const char* kOp = "starling::quantize_activation";
  check_floating(kOp, "x", x);
  check_computed_alike(kOp, "threshold", threshold, "x", x);
  check_bits(kOp, "bits", bits, 12);
  TORCH_CHECK_VALUE(threshold.dim() == 0, kOp, ": threshold has shape ", threshold.sym_sizes(), ": expected []");
  const double half = std::exp2(bits - 1), most = 2 * half - 1;
  const Rounding rounding{.divisor = is_signed ? half : most,
                          .low = is_signed ? -half : 0,
                          .high = is_signed ? half - 1 : most,
                          .least = kLeast,
                          .bound_scale = bound_scale,
                          .power_of_two = powers_of_two};
  return call_fake_quantize(is_signed ? computed(x) : computed(x).relu(), computed(threshold), rounding);
}

at::Tensor quantize_bias(const at::Tensor& bias, const at::Tensor& scale, std::int64_t bits) {
  constexpr const char* kOp = "starling::quantize_bias";
  check_floating(kOp, "bias", bias);
  check_computed_alike(kOp, "scale", scale, "bias", bias);
  check_bits(kOp, "bits", bits, 32);
  TORCH_CHECK_VALUE(bias.dim() == 1, kOp, ": bias has shape ", bias.sym_sizes(), ": expected [outputs]");
  TORCH_CHECK_VALUE(scale.dim() == 0 || (scale.dim() == 1 && scale.sym_size(0) == bias.sym_size(0)), kOp,
                    ": scale has shape ", scale.sym_sizes(), ": expected [] or that of the bias, ", bias.sym_sizes());
  const double half = std::exp2(bits - 1);
  return std::get<0>(
      call_fake_quantize(computed(bias), computed(scale), {.divisor = 1, .low = -half, .high = half - 1}));
}

at::Tensor calibrated_threshold(const at::Tensor& x, double percentile) {
  constexpr const char* kOp = "starling::calibrated_threshold";
  check_floating(kOp, "x", x);
  TORCH_CHECK_VALUE(x.numel() > 0, kOp, ": x has shape ", x.sizes(), ": expected one value at least");
  TORCH_CHECK_VALUE(percentile > 0 && percentile <= 100, kOp, ": percentile is ", percentile, ": expected 0 to 100");
  // In double, and 0.01 · 99.999 is not 0.99999 there.
  const std::int64_t count = x.numel();
  const auto rounded = static_cast<std::int64_t>(std::floor(0.01 * percentile * static_cast<double>(count) + 0.5));
  const std::int64_t place = std::max<std::int64_t>(rounded, 1);
  const at::Tensor size = computed(x).abs().flatten();
  // On CUDA kthvalue reads an array with one block, and topk with many.
  if (x.is_cuda()) return std::get<0>(at::topk(size, count - place + 1)).select(0, -1);
  return std::get<0>(at::kthvalue(size, place));
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, CompositeExplicitAutograd, m) { m.impl("_fake_quantize", TORCH_FN(fake_quantize)); }

TORCH_LIBRARY_IMPL(starling, Autograd, m) { m.impl("_fake_quantize", TORCH_FN(differentiable_fake_quantize)); }

TORCH_LIBRARY_IMPL(starling, CompositeImplicitAutograd, m) {
  m.impl("quantize_weight", TORCH_FN(quantize_weight));
  m.impl("quantize_activation", TORCH_FN(quantize_activation));
  m.impl("quantize_bias", TORCH_FN(quantize_bias));
  m.impl("calibrated_threshold", TORCH_FN(calibrated_threshold));
}

}  // namespace starling::ops
