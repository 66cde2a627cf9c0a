#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "learn/ops/autograd.h"
#include "learn/ops/fake_quantization_kernels.h"
#include "starling/dense.h"

// Fake quantisation: values rounded to codes and back, with the straight-through gradients of docs/definitions.md,
// Fake quantisation. Every line of a formula there is one operation here, in its order, so that the bits agree.
namespace starling::ops {
namespace {

/// Whether the kernels of fake_quantization_kernels.h take the values and the number that their scale is of.
bool has_kernels(const at::Tensor& values, const at::Tensor& magnitude) {
  return values.is_cuda() && values.scalar_type() == at::kFloat && magnitude.is_cuda() &&
         magnitude.scalar_type() == at::kFloat && magnitude.dim() == 0;
}

/// Of a gradient that has none of its own.
void check_once(const char* op) {
  TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(), op, ": the second derivative is not there");
}

/// [rows] as [rows, 1, ...], to go with x.
at::Tensor beside(const at::Tensor& scale, const at::Tensor& x) {
  if (scale.dim() == 0) return scale;
  std::vector<c10::SymInt> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = scale.sym_size(0);
  return scale.view_symint(shape);
}

at::Tensor exact_scale(const at::Tensor& magnitude, const Rounding& rounding) {
  const at::Tensor size = magnitude.abs();
  // CUDA would multiply by the reciprocal of a number.
  const at::Tensor divisor = at::full({}, rounding.divisor, size.options());
  return rounding.bound_scale ? (size / divisor).clamp_min(rounding.least) : size.clamp_min(rounding.least) / divisor;
}

/// The least power of two that is not below.
at::Tensor power_of_two(const at::Tensor& scale) {
  const auto [mantissa, exponent] = at::frexp(scale);  // mantissa in [0.5, 1)
  return at::ldexp(at::ones_like(scale), exponent - mantissa.eq(0.5).to(exponent.scalar_type()));
}

using ValuesSignature = Quantized(at::TensorList, const at::Tensor&, double, double, double, double, bool, bool, bool);
using ValuesGradientSignature = std::tuple<std::vector<at::Tensor>, at::Tensor>(at::TensorList, const at::Tensor&,
                                                                                double, double, double, double, bool,
                                                                                bool, bool, const at::Tensor&,
                                                                                const MaybeTensor&, std::int64_t);

Quantized call_quantize_values(at::TensorList parts, const at::Tensor& magnitude, const Rounding& r) {
  static const auto op = find<ValuesSignature>("starling::_quantize_values");
  return op.call(parts, magnitude, r.divisor, r.low, r.high, r.least, r.bound_scale, r.passes_outside, r.power_of_two);
}
std::tuple<std::vector<at::Tensor>, at::Tensor> call_quantize_values_gradient(
    at::TensorList parts, const at::Tensor& magnitude, const Rounding& r, const at::Tensor& values_gradient,
    const MaybeTensor& scale_gradient, std::int64_t wanted) {
  static const auto op = find<ValuesGradientSignature>("starling::_quantize_values_gradient");
  return op.call(parts, magnitude, r.divisor, r.low, r.high, r.least, r.bound_scale, r.passes_outside, r.power_of_two,
                 values_gradient, scale_gradient, wanted);
}

Quantized fake_quantize(const at::Tensor& x, const at::Tensor& magnitude, double divisor, double low, double high,
                        double least, bool bound_scale, bool passes_outside, bool powers_of_two) {
  const Rounding rounding{divisor, low, high, least, bound_scale, passes_outside, powers_of_two};
  if (has_kernels(x, magnitude)) {
    auto [values, scale] = call_quantize_values(x.reshape({1, -1}), magnitude, rounding);
    return {values.view_as(x), std::move(scale)};
  }
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
    check_once("starling::fake quantisation");
    const variable_list tensors = saved();
    const at::Tensor &x = tensors[0], &magnitude = tensors[1], &scale = tensors[2];
    variable_list result(2);
    if (has_kernels(x, magnitude)) {
      if (!gradients[0].defined() && !gradients[1].defined()) return result;
      auto [of_x, of_magnitude] = call_quantize_values_gradient(
          x.reshape({1, -1}), magnitude, rounding, or_zeros(gradients[0], x).reshape({1, -1}), maybe(gradients, 1),
          task_should_compute_output(0) ? 1 : 0);
      if (task_should_compute_output(0)) result[0] = of_x[0].view_as(x);
      if (task_should_compute_output(1)) result[1] = of_magnitude;
      return result;
    }
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
  const at::Tensor w = computed(weight), size = w.abs();
  const at::Tensor largest = per_channel ? size.flatten(1).amax(1) : size.amax();
  return call_fake_quantize(w, largest, weight_rounding(bits, powers_of_two));
}

Quantized quantize_activation(const at::Tensor& x, const at::Tensor& threshold, std::int64_t bits, bool is_signed,
                              bool powers_of_two, bool bound_scale) {
  constexpr const char* kOp = "starling::quantize_activation";
  check_floating(kOp, "x", x);
  check_computed_alike(kOp, "threshold", threshold, "x", x);
  check_bits(kOp, "bits", bits, 12);
  TORCH_CHECK_VALUE(threshold.dim() == 0, kOp, ": threshold has shape ", threshold.sym_sizes(), ": expected []");
  Rounding rounding = activation_rounding(bits, is_signed, powers_of_two);
  rounding.bound_scale = bound_scale;
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
  return std::get<0>(call_fake_quantize(computed(bias), computed(scale), bias_rounding(bits)));
}

/// Saved are the parts and the magnitude.
struct QuantizeValuesBackward : SavingNode {
  Rounding rounding;

  variable_list apply(variable_list&& gradients) override {
    check_once("starling::fake quantisation");
    const variable_list tensors = saved();
    const at::TensorList parts = at::TensorList(tensors).slice(0, tensors.size() - 1);
    variable_list result(tensors.size());
    if (!gradients[0].defined() && !gradients[1].defined()) return result;
    std::int64_t wanted = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) wanted |= task_should_compute_output(i) ? 1 << i : 0;
    at::Tensor of_values = gradients[0];
    if (!of_values.defined()) of_values = at::zeros_like(at::cat(parts, 1));
    auto [of_parts, of_magnitude] =
        call_quantize_values_gradient(parts, tensors.back(), rounding, of_values, maybe(gradients, 1), wanted);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if ((wanted >> i & 1) != 0) result[i] = of_parts[i];
    }
    result.back() = of_magnitude;
    return result;
  }
};

Quantized differentiable_quantize_values(at::TensorList parts, const at::Tensor& magnitude, double divisor, double low,
                                         double high, double least, bool bound_scale, bool passes_outside,
                                         bool power_of_two) {
  const Rounding rounding{divisor, low, high, least, bound_scale, passes_outside, power_of_two};
  at::Tensor values, scale;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(values, scale) = call_quantize_values(parts, magnitude, rounding);
  }
  variable_list inputs = parts.vec();
  inputs.push_back(magnitude);
  if (compute_requires_grad(parts, magnitude)) {
    const auto node = make_node<QuantizeValuesBackward>(inputs, inputs);
    static_cast<QuantizeValuesBackward&>(*node).rounding = rounding;
    set_history(values, node);
    set_history(scale, node);
  }
  return {std::move(values), std::move(scale)};
}

Quantized quantize_parts(at::TensorList parts, const at::Tensor& threshold, std::int64_t bits, bool power_of_two) {
  constexpr const char* kOp = "starling::quantize_parts";
  check_bits(kOp, "bits", bits, 12);
  const auto is_ours = [&](const at::Tensor& part) { return has_kernels(part, threshold); };
  if (parts.size() <= kMaxQuantizedParts && std::all_of(parts.begin(), parts.end(), is_ours))
    return call_quantize_values(parts, threshold, activation_rounding(bits, /*is_signed=*/true, power_of_two));
  return quantize_activation(parts.size() == 1 ? parts[0] : at::cat(parts, 1), threshold, bits, true, power_of_two,
                             false);
}

using RowsSignature = Quantized(const at::Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
                                std::int64_t, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
                                at::TensorList, bool, const at::Tensor&, std::int64_t, bool);
using RowsGradientSignature = RowGradients(const at::Tensor&, const MaybeTensor&, const MaybeTensor&,
                                           const MaybeTensor&, std::int64_t, const MaybeTensor&, const MaybeTensor&,
                                           const MaybeTensor&, bool, const at::Tensor&, std::int64_t, bool,
                                           const at::Tensor&, const MaybeTensor&);
using EndsSignature = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, at::TensorList);

/// Saved are sums, bias, weight_scale, input_scale, nodes, threshold, first, second and the lists.
struct QuantizeRowsBackward : SavingNode {
  std::int64_t bias_bits = 0, bits = 0;
  bool norm = false, power_of_two = false;

  variable_list apply(variable_list&& gradients) override {
    check_once("starling::quantize_rows");
    if (!gradients[0].defined() && !gradients[1].defined()) return variable_list(6);
    static const auto op = find<RowsGradientSignature>("starling::_quantize_rows_gradient");
    static const auto sum = find<EndsSignature>("starling::sum_ends");
    const variable_list tensors = saved();
    const MaybeTensor bias = maybe(tensors, 1), nodes = maybe(tensors, 4);
    auto [of_sums, of_bias, of_weight, of_input, of_threshold] = op.call(
        tensors[0], bias, maybe(tensors, 2), maybe(tensors, 3), bias_bits, nodes, maybe(tensors, 6), maybe(tensors, 7),
        norm, tensors[5], bits, power_of_two, or_zeros(gradients[0], tensors[0]), maybe(gradients, 1));
    const at::Tensor none;
    const at::Tensor of_nodes = nodes && task_should_compute_output(4)
                                    ? sum.call(of_sums, tensors[6], tensors[7], at::TensorList(tensors).slice(8))
                                    : none;
    return {of_sums, bias ? of_bias : none, bias ? of_weight : none, bias ? of_input : none, of_nodes, of_threshold};
  }
};

Quantized differentiable_quantize_rows(const at::Tensor& sums, const MaybeTensor& bias, const MaybeTensor& weight_scale,
                                       const MaybeTensor& input_scale, std::int64_t bias_bits, const MaybeTensor& nodes,
                                       const MaybeTensor& first, const MaybeTensor& second, at::TensorList lists,
                                       bool norm, const at::Tensor& threshold, std::int64_t bits, bool power_of_two) {
  static const auto op = find<RowsSignature>("starling::_quantize_rows");
  at::Tensor values, scale;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(values, scale) = op.call(sums, bias, weight_scale, input_scale, bias_bits, nodes, first, second, lists,
                                      norm, threshold, bits, power_of_two);
  }
  if (compute_requires_grad(sums, bias, weight_scale, input_scale, nodes, threshold)) {
    const variable_list inputs{sums,
                               value_or_undefined(bias),
                               value_or_undefined(weight_scale),
                               value_or_undefined(input_scale),
                               value_or_undefined(nodes),
                               threshold};
    variable_list kept = inputs;
    kept.insert(kept.end(), {value_or_undefined(first), value_or_undefined(second)});
    kept.insert(kept.end(), lists.begin(), lists.end());
    const auto node = make_node<QuantizeRowsBackward>(inputs, kept);
    auto& backward = static_cast<QuantizeRowsBackward&>(*node);
    backward.bias_bits = bias_bits;
    backward.bits = bits;
    backward.norm = norm;
    backward.power_of_two = power_of_two;
    set_history(values, node);
    set_history(scale, node);
  }
  return {std::move(values), std::move(scale)};
}

Quantized quantize_rows(const at::Tensor& sums, const MaybeTensor& bias, const MaybeTensor& weight_scale,
                        const MaybeTensor& input_scale, std::int64_t bias_bits, const MaybeTensor& nodes,
                        const MaybeTensor& first, const MaybeTensor& second, at::TensorList lists, bool norm,
                        const at::Tensor& threshold, std::int64_t bits, bool power_of_two) {
  constexpr const char* kOp = "starling::quantize_rows";
  check_bits(kOp, "bits", bits, 12);
  TORCH_CHECK_VALUE(sums.dim() == 2, kOp, ": sums has shape ", sums.sizes(), ": expected [rows, width]");
  TORCH_CHECK_VALUE(!bias || (weight_scale && input_scale), kOp,
                    ": bias has no scales: expected weight_scale and input_scale");
  TORCH_CHECK_VALUE(!nodes || (first && second), kOp, ": nodes has no ends: expected first, second and lists");
  if (bias) check_bits(kOp, "bias_bits", bias_bits, 32);
  static const auto op = find<RowsSignature>("starling::_quantize_rows");
  static const auto gather = find<EndsSignature>("starling::gather_ends");
  if (has_kernels(sums, threshold) && sums.size(1) >= 1 && sums.size(1) <= kMaxQuantizedWidth)
    return op.call(sums, bias, weight_scale, input_scale, bias_bits, nodes, first, second, lists, norm, threshold, bits,
                   power_of_two);
  at::Tensor z = bias ? sums + quantize_bias(*bias, *weight_scale * *input_scale, bias_bits) : sums;
  if (nodes) z = z + gather.call(*nodes, *first, *second, lists);
  if (norm) z = at::layer_norm(z, {z.size(1)}, {}, {}, kLayerNormEpsilon);
  return quantize_activation(z, threshold, bits, false, power_of_two, false);
}

using WeightsSignature = Quantized(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, bool, bool);
using WeightsGradientSignature = at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, bool,
                                            bool, const at::Tensor&, const MaybeTensor&);

/// Saved are the parameters.
struct QuantizeWeightsBackward : SavingNode {
  std::vector<std::int64_t> sizes, outputs, bits;
  bool per_channel = false, power_of_two = false;

  variable_list apply(variable_list&& gradients) override {
    check_once("starling::quantize_weights");
    if (!gradients[0].defined() && !gradients[1].defined()) return variable_list(1);
    static const auto op = find<WeightsGradientSignature>("starling::_quantize_weights_gradient");
    const at::Tensor parameters = saved()[0];
    return {op.call(parameters, sizes, outputs, bits, per_channel, power_of_two, or_zeros(gradients[0], parameters),
                    maybe(gradients, 1))};
  }
};

Quantized differentiable_quantize_weights(const at::Tensor& parameters, at::IntArrayRef sizes, at::IntArrayRef outputs,
                                          at::IntArrayRef bits, bool per_channel, bool power_of_two) {
  static const auto op = find<WeightsSignature>("starling::_quantize_weights");
  at::Tensor values, scales;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(values, scales) = op.call(parameters, sizes, outputs, bits, per_channel, power_of_two);
  }
  if (compute_requires_grad(parameters)) {
    const auto node = make_node<QuantizeWeightsBackward>({parameters}, {parameters});
    auto& backward = static_cast<QuantizeWeightsBackward&>(*node);
    backward.sizes = sizes.vec();
    backward.outputs = outputs.vec();
    backward.bits = bits.vec();
    backward.per_channel = per_channel;
    backward.power_of_two = power_of_two;
    set_history(values, node);
    set_history(scales, node);
  }
  return {std::move(values), std::move(scales)};
}

Quantized quantize_weights(const at::Tensor& parameters, at::IntArrayRef sizes, at::IntArrayRef outputs,
                           at::IntArrayRef bits, bool per_channel, bool power_of_two) {
  constexpr const char* kOp = "starling::quantize_weights";
  TORCH_CHECK_VALUE(sizes.size() == outputs.size() && sizes.size() == bits.size(), kOp, ": ", sizes.size(), " sizes, ",
                    outputs.size(), " outputs and ", bits.size(), " bits: expected as many of each");
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (outputs[i] == 0) continue;
    check_bits(kOp, "bits", bits[i], 12);
    TORCH_CHECK_VALUE(outputs[i] > 0 && sizes[i] > 0 && sizes[i] % outputs[i] == 0, kOp, ": a segment of ", sizes[i],
                      " has ", outputs[i], " outputs: expected as many inputs for each");
  }
  if (parameters.is_cuda() && parameters.scalar_type() == at::kFloat) {
    static const auto op = find<WeightsSignature>("starling::_quantize_weights");
    return op.call(parameters, sizes, outputs, bits, per_channel, power_of_two);
  }
  std::vector<at::Tensor> parts = parameters.split_with_sizes(sizes), scales;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (outputs[i] == 0) continue;
    auto [values, scale] = quantize_weight(parts[i].view({outputs[i], -1}), bits[i], per_channel, power_of_two);
    parts[i] = values.flatten();
    scales.push_back(scale.flatten());
  }
  return {at::cat(parts), at::cat(scales)};
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

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("_fake_quantize", TORCH_FN(differentiable_fake_quantize));
  m.impl("_quantize_values", TORCH_FN(differentiable_quantize_values));
  m.impl("_quantize_rows", TORCH_FN(differentiable_quantize_rows));
  m.impl("_quantize_weights", TORCH_FN(differentiable_quantize_weights));
}

TORCH_LIBRARY_IMPL(starling, CompositeImplicitAutograd, m) {
  m.impl("quantize_weight", TORCH_FN(quantize_weight));
  m.impl("quantize_activation", TORCH_FN(quantize_activation));
  m.impl("quantize_bias", TORCH_FN(quantize_bias));
  m.impl("quantize_parts", TORCH_FN(quantize_parts));
  m.impl("quantize_rows", TORCH_FN(quantize_rows));
  m.impl("quantize_weights", TORCH_FN(quantize_weights));
  m.impl("calibrated_threshold", TORCH_FN(calibrated_threshold));
}

}  // namespace starling::ops
