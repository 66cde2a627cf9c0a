#pragma once

#include <ATen/Functions.h>

#include <optional>
#include <tuple>
#include <vector>

#include "learn/ops/neighbors_kernels.h"
#include "starling/fake_quantization.h"

// Fake quantisation by kernels, in float, for the one Backend that has them, Cuda. quantize.cpp sees to shapes and
// types and calls them where they are faster than LibTorch's operators, which give the same.
namespace starling::ops {

/// Values and their scale, [].
using Quantized = std::tuple<at::Tensor, at::Tensor>;

inline const float* floats_or_null(const MaybeTensor& tensor) {
  return tensor && tensor->numel() > 0 ? tensor->const_data_ptr<float>() : nullptr;
}

/// Parts [rows, width] as the core reads them; keeps them contiguous.
class PartOperands {
 public:
  PartOperands(const char* op, at::TensorList parts, const at::Tensor& magnitude, const Rounding& rounding) {
    TORCH_CHECK_VALUE(!parts.empty() && parts.size() <= kMaxQuantizedParts, op, ": ", parts.size(),
                      " parts: expected 1 to ", kMaxQuantizedParts);
    quantization.rounding = rounding;
    quantization.magnitude = magnitude.const_data_ptr<float>();
    quantization.num_rows = parts[0].size(0);
    for (const at::Tensor& part : parts) {
      TORCH_CHECK_VALUE(part.dim() == 2 && part.size(0) == parts[0].size(0) && part.scalar_type() == at::kFloat &&
                            part.device() == magnitude.device(),
                        op, ": a part is ", part.scalar_type(), " ", part.sizes(), " on ", part.device(),
                        ": expected float32 [", parts[0].size(0), ", width] on ", magnitude.device());
      whole.push_back(part.contiguous());
      quantization.parts[quantization.num_parts++] = {whole.back().const_data_ptr<float>(), part.size(1)};
      width += part.size(1);
    }
  }

  FakeQuantization quantization;
  std::vector<at::Tensor> whole;
  std::int64_t width = 0;
};

template <typename Backend>
Quantized fake_quantize_values(at::TensorList parts, const at::Tensor& magnitude, double divisor, double low,
                               double high, double least, bool bound_scale, bool passes_outside, bool power_of_two) {
  const char* const op = "starling::_quantize_values";
  const Backend backend(op, magnitude);
  const PartOperands operands(op, parts, magnitude,
                              {divisor, low, high, least, bound_scale, passes_outside, power_of_two});
  at::Tensor values = at::empty({operands.quantization.num_rows, operands.width}, magnitude.options());
  at::Tensor scale = at::empty({}, magnitude.options());
  translating_errors(op, [&] {
    backend.fake_quantize(operands.quantization, values.mutable_data_ptr<float>(), scale.mutable_data_ptr<float>());
  });
  return {std::move(values), std::move(scale)};
}

/// Gradients of the parts, of those that are not wanted (bit i of `wanted`) empty ones, and of the magnitude.
template <typename Backend>
std::tuple<std::vector<at::Tensor>, at::Tensor> fake_quantize_values_gradient(
    at::TensorList parts, const at::Tensor& magnitude, double divisor, double low, double high, double least,
    bool bound_scale, bool passes_outside, bool power_of_two, const at::Tensor& values_gradient,
    const MaybeTensor& scale_gradient, std::int64_t wanted) {
  const char* const op = "starling::_quantize_values_gradient";
  const Backend backend(op, magnitude);
  const PartOperands operands(op, parts, magnitude,
                              {divisor, low, high, least, bound_scale, passes_outside, power_of_two});
  const at::Tensor gradient = values_gradient.contiguous();
  std::vector<at::Tensor> of_parts;
  float* to[kMaxQuantizedParts] = {};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    of_parts.push_back((wanted >> i & 1) != 0 ? at::empty_like(operands.whole[i])
                                              : at::empty({0}, magnitude.options()));
    if ((wanted >> i & 1) != 0) to[i] = of_parts[i].mutable_data_ptr<float>();
  }
  at::Tensor of_magnitude = at::empty({}, magnitude.options());
  translating_errors(op, [&] {
    backend.fake_quantize_gradient(operands.quantization, gradient.const_data_ptr<float>(),
                                   floats_or_null(scale_gradient), to, of_magnitude.mutable_data_ptr<float>());
  });
  return {std::move(of_parts), std::move(of_magnitude)};
}

/// What a layer's rows are made of, contiguous.
struct RowOperands {
  at::Tensor sums, threshold;
  MaybeTensor bias, weight_scale, input_scale, nodes, first, second;
  QuantizedRows rows;
};
inline RowOperands row_operands(const at::Tensor& sums, const MaybeTensor& bias, const MaybeTensor& weight_scale,
                                const MaybeTensor& input_scale, std::int64_t bias_bits, const MaybeTensor& nodes,
                                const MaybeTensor& first, const MaybeTensor& second, bool norm,
                                const at::Tensor& threshold, std::int64_t bits, bool power_of_two) {
  const auto whole = [](const MaybeTensor& tensor) {
    return tensor ? MaybeTensor(tensor->contiguous()) : std::nullopt;
  };
  RowOperands operands{sums.contiguous(),   threshold,          whole(bias),
                       whole(weight_scale), whole(input_scale), whole(nodes),
                       whole(first),        whole(second),      {}};
  const auto indices = [](const MaybeTensor& tensor) {
    return tensor ? tensor->const_data_ptr<std::int32_t>() : nullptr;
  };
  QuantizedRows& rows = operands.rows;
  rows.num_rows = static_cast<std::int32_t>(sums.size(0));
  rows.width = static_cast<int>(sums.size(1));
  rows.sums = operands.sums.const_data_ptr<float>();
  rows.bias = floats_or_null(operands.bias);
  rows.weight_scale = floats_or_null(operands.weight_scale);
  rows.input_scale = floats_or_null(operands.input_scale);
  rows.per_channel = weight_scale && weight_scale->dim() == 1;
  rows.bias_bits = static_cast<int>(bias_bits);
  rows.nodes = floats_or_null(operands.nodes);
  rows.first = indices(operands.first);
  rows.second = indices(operands.second);
  rows.norm = norm;
  rows.threshold = threshold.const_data_ptr<float>();
  rows.bits = static_cast<int>(bits);
  rows.power_of_two = power_of_two;
  return operands;
}

template <typename Backend>
Quantized fake_quantize_rows(const at::Tensor& sums, const MaybeTensor& bias, const MaybeTensor& weight_scale,
                             const MaybeTensor& input_scale, std::int64_t bias_bits, const MaybeTensor& nodes,
                             const MaybeTensor& first, const MaybeTensor& second, at::TensorList, bool norm,
                             const at::Tensor& threshold, std::int64_t bits, bool power_of_two) {
  const char* const op = "starling::_quantize_rows";
  const Backend backend(op, sums);
  const RowOperands operands = row_operands(sums, bias, weight_scale, input_scale, bias_bits, nodes, first, second,
                                            norm, threshold, bits, power_of_two);
  at::Tensor values = at::empty(sums.sizes(), operands.sums.options()), scale = at::empty({}, sums.options());
  translating_errors(op, [&] {
    backend.quantize_rows(operands.rows, values.mutable_data_ptr<float>(), scale.mutable_data_ptr<float>());
  });
  return {std::move(values), std::move(scale)};
}

/// Gradients of sums, bias, weight_scale, input_scale and threshold; those of what is not given are empty.
using RowGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
template <typename Backend>
RowGradients fake_quantize_rows_gradient(const at::Tensor& sums, const MaybeTensor& bias,
                                         const MaybeTensor& weight_scale, const MaybeTensor& input_scale,
                                         std::int64_t bias_bits, const MaybeTensor& nodes, const MaybeTensor& first,
                                         const MaybeTensor& second, bool norm, const at::Tensor& threshold,
                                         std::int64_t bits, bool power_of_two, const at::Tensor& values_gradient,
                                         const MaybeTensor& scale_gradient) {
  const char* const op = "starling::_quantize_rows_gradient";
  const Backend backend(op, sums);
  const RowOperands operands = row_operands(sums, bias, weight_scale, input_scale, bias_bits, nodes, first, second,
                                            norm, threshold, bits, power_of_two);
  const at::Tensor gradient = values_gradient.contiguous();
  const auto like = [&](const MaybeTensor& tensor) {
    return bias ? at::empty(tensor->sizes(), sums.options()) : at::empty({0}, sums.options());
  };
  at::Tensor of_sums = at::empty(sums.sizes(), sums.options()), of_bias = like(bias), of_weight = like(weight_scale),
             of_input = like(input_scale), of_threshold = at::empty({}, sums.options());
  translating_errors(op, [&] {
    backend.quantize_rows_gradient(
        operands.rows, gradient.const_data_ptr<float>(), floats_or_null(scale_gradient),
        {of_sums.mutable_data_ptr<float>(), of_bias.mutable_data_ptr<float>(), of_weight.mutable_data_ptr<float>(),
         of_input.mutable_data_ptr<float>(), of_threshold.mutable_data_ptr<float>()});
  });
  return {std::move(of_sums), std::move(of_bias), std::move(of_weight), std::move(of_input), std::move(of_threshold)};
}

/// The weights among segments of parameters that follow each other: those that have outputs.
inline std::vector<QuantizedWeight> weights_among(at::IntArrayRef sizes, at::IntArrayRef outputs,
                                                  at::IntArrayRef bits) {
  std::vector<QuantizedWeight> weights;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < sizes.size(); begin += sizes[i++]) {
    if (outputs[i] == 0) continue;
    weights.push_back({begin, static_cast<std::int32_t>(outputs[i]), static_cast<std::int32_t>(sizes[i] / outputs[i]),
                       static_cast<int>(bits[i])});
  }
  return weights;
}

template <typename Backend>
Quantized fake_quantize_weights(const at::Tensor& parameters, at::IntArrayRef sizes, at::IntArrayRef outputs,
                                at::IntArrayRef bits, bool per_channel, bool power_of_two) {
  const char* const op = "starling::_quantize_weights";
  const Backend backend(op, parameters);
  const std::vector<QuantizedWeight> weights = weights_among(sizes, outputs, bits);
  std::int64_t scales = 0;
  for (const QuantizedWeight& weight : weights) scales += per_channel ? weight.outputs : 1;
  const at::Tensor whole = parameters.contiguous();
  at::Tensor values = whole.clone(), scale = at::empty({scales}, whole.options());
  translating_errors(op, [&] {
    backend.quantize_weights(weights, per_channel, power_of_two, whole.const_data_ptr<float>(),
                             values.mutable_data_ptr<float>(), scale.mutable_data_ptr<float>());
  });
  return {std::move(values), std::move(scale)};
}

template <typename Backend>
at::Tensor fake_quantize_weights_gradient(const at::Tensor& parameters, at::IntArrayRef sizes, at::IntArrayRef outputs,
                                          at::IntArrayRef bits, bool per_channel, bool power_of_two,
                                          const at::Tensor& values_gradient, const MaybeTensor& scale_gradient) {
  const char* const op = "starling::_quantize_weights_gradient";
  const Backend backend(op, parameters);
  const at::Tensor whole = parameters.contiguous(), gradient = values_gradient.contiguous();
  const MaybeTensor of_scale = scale_gradient ? MaybeTensor(scale_gradient->contiguous()) : std::nullopt;
  at::Tensor result = gradient.clone();
  translating_errors(op, [&] {
    backend.quantize_weights_gradient(weights_among(sizes, outputs, bits), per_channel, power_of_two,
                                      whole.const_data_ptr<float>(), gradient.const_data_ptr<float>(),
                                      floats_or_null(of_scale), result.mutable_data_ptr<float>());
  });
  return result;
}

}  // namespace starling::ops
