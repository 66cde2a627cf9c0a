#include "starling/fake_quantization.h"

#include <limits>

#include "fake_quantization/backends.h"
#include "memory/arguments.h"
#include "memory/layout.h"

namespace starling {
namespace {

using memory::check_count;
using memory::check_there;
using memory::usage;

constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

void check_device(const char* function, const Execution& execution) {
  if (execution.device != Device::cuda) usage(function, "device is cpu: expected cuda");
}

void check(const char* function, const FakeQuantization& quantization, const Execution& execution) {
  check_device(function, execution);
  check_count(function, "num_parts", quantization.num_parts, 1, kMaxQuantizedParts);
  check_count(function, "num_rows", quantization.num_rows, 0, kMost);
  std::int64_t width = 0;
  for (int i = 0; i < quantization.num_parts; ++i) {
    check_count(function, "width", quantization.parts[i].width, 0, std::numeric_limits<std::int64_t>::max() / 8);
    width += quantization.parts[i].width;
  }
  if (quantization.num_rows == 1 && quantization.num_parts == 1) return;
  check_count(function, "width", width, 0, kMost / std::max<std::int64_t>(quantization.num_rows, 1));
}

void check_arrays(const char* function, const FakeQuantization& quantization) {
  check_there(function, "magnitude", quantization.magnitude, 1);
  for (int i = 0; i < quantization.num_parts; ++i)
    check_there(function, "values", quantization.parts[i].values, quantization.num_rows * quantization.parts[i].width);
}

void check(const char* function, const QuantizedRows& rows, const Execution& execution) {
  check_device(function, execution);
  check_count(function, "num_rows", rows.num_rows, 0, kMost);
  check_count(function, "width", rows.width, 1, kMaxQuantizedWidth);
  check_count(function, "bits", rows.bits, 2, 12);
  if (rows.bias != nullptr) check_count(function, "bias_bits", rows.bias_bits, 2, 32);
}

void check_arrays(const char* function, const QuantizedRows& rows) {
  check_there(function, "sums", rows.sums, rows.num_rows);
  check_there(function, "threshold", rows.threshold, 1);
  if (rows.bias != nullptr) {
    check_there(function, "weight_scale", rows.weight_scale, 1);
    check_there(function, "input_scale", rows.input_scale, 1);
  }
  if (rows.nodes != nullptr) {
    check_there(function, "first", rows.first, rows.num_rows);
    check_there(function, "second", rows.second, rows.num_rows);
  }
}

void check(const char* function, std::span<const QuantizedWeight> weights, const Execution& execution) {
  check_device(function, execution);
  for (const QuantizedWeight& weight : weights) {
    check_count(function, "begin", weight.begin, 0, kMost);
    check_count(function, "outputs", weight.outputs, 1, kMost);
    check_count(function, "inputs", weight.inputs, 1, kMost / weight.outputs);
    check_count(function, "bits", weight.bits, 2, 12);
  }
}

}  // namespace

void fake_quantize(const FakeQuantization& quantization, float* values, float* scale, const Execution& execution) {
  const char* const function = "fake_quantize";
  check(function, quantization, execution);
  check_arrays(function, quantization);
  check_there(function, "scale", scale, 1);
  fakequantization::cuda::fake_quantize(quantization, values, scale, execution);
}

std::size_t fake_quantize_gradient_workspace_bytes(const FakeQuantization& quantization, const Execution& execution) {
  check("fake_quantize_gradient_workspace_bytes", quantization, execution);
  return fakequantization::cuda::workspace_bytes(quantization);
}

void fake_quantize_gradient(const FakeQuantization& quantization, const float* values_gradient,
                            const float* scale_gradient, float* const (&parts_gradient)[kMaxQuantizedParts],
                            float* magnitude_gradient, std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "fake_quantize_gradient";
  check(function, quantization, execution);
  check_arrays(function, quantization);
  memory::check_workspace(workspace, fakequantization::cuda::workspace_bytes(quantization), function);
  fakequantization::cuda::fake_quantize_gradient(quantization, values_gradient, scale_gradient, parts_gradient,
                                                 magnitude_gradient, workspace, execution);
}

void quantize_rows(const QuantizedRows& rows, float* values, float* scale, const Execution& execution) {
  const char* const function = "quantize_rows";
  check(function, rows, execution);
  check_arrays(function, rows);
  check_there(function, "values", values, rows.num_rows);
  check_there(function, "scale", scale, 1);
  fakequantization::cuda::quantize_rows(rows, values, scale, execution);
}

std::size_t quantize_rows_gradient_workspace_bytes(const QuantizedRows& rows, const Execution& execution) {
  check("quantize_rows_gradient_workspace_bytes", rows, execution);
  return fakequantization::cuda::workspace_bytes(rows);
}

void quantize_rows_gradient(const QuantizedRows& rows, const float* values_gradient, const float* scale_gradient,
                            const QuantizedRowsGradients& gradients, std::span<std::byte> workspace,
                            const Execution& execution) {
  const char* const function = "quantize_rows_gradient";
  check(function, rows, execution);
  check_arrays(function, rows);
  check_there(function, "values_gradient", values_gradient, rows.num_rows);
  check_there(function, "gradients.sums", gradients.sums, rows.num_rows);
  check_there(function, "gradients.threshold", gradients.threshold, 1);
  if (rows.bias != nullptr) {
    check_there(function, "gradients.bias", gradients.bias, 1);
    check_there(function, "gradients.weight_scale", gradients.weight_scale, 1);
    check_there(function, "gradients.input_scale", gradients.input_scale, 1);
  }
  memory::check_workspace(workspace, fakequantization::cuda::workspace_bytes(rows), function);
  fakequantization::cuda::quantize_rows_gradient(rows, values_gradient, scale_gradient, gradients, workspace,
                                                 execution);
}

void quantize_weights(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                      const float* parameters, float* values, float* scales, const Execution& execution) {
  const char* const function = "quantize_weights";
  const auto count = static_cast<std::int64_t>(weights.size());
  check(function, weights, execution);
  check_there(function, "parameters", parameters, count);
  check_there(function, "values", values, count);
  check_there(function, "scales", scales, count);
  fakequantization::cuda::quantize_weights(weights, per_channel, power_of_two, parameters, values, scales, execution);
}

void quantize_weights_gradient(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                               const float* parameters, const float* values_gradient, const float* scales_gradient,
                               float* gradient, const Execution& execution) {
  const char* const function = "quantize_weights_gradient";
  const auto count = static_cast<std::int64_t>(weights.size());
  check(function, weights, execution);
  check_there(function, "parameters", parameters, count);
  check_there(function, "values_gradient", values_gradient, count);
  check_there(function, "gradient", gradient, count);
  fakequantization::cuda::quantize_weights_gradient(weights, per_channel, power_of_two, parameters, values_gradient,
                                                    scales_gradient, gradient, execution);
}

}  // namespace starling
