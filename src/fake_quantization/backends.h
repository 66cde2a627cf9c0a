#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "starling/fake_quantization.h"

// What stands behind the public functions of fake_quantization.h once they have checked their arguments: cuda/, and
// no_cuda.cpp, which throws.
namespace starling::fakequantization {

/// Parts of the sums of a gradient, a function of the sizes alone: each adds up what one block of threads goes through.
inline constexpr std::int64_t kMostBlocks = 528;
inline std::int64_t parts_of(std::int64_t items, std::int64_t each) {
  return std::clamp<std::int64_t>((items + each - 1) / each, 1, kMostBlocks);
}

namespace cuda {

void fake_quantize(const FakeQuantization& quantization, float* values, float* scale, const Execution& execution);
std::size_t workspace_bytes(const FakeQuantization& quantization);
void fake_quantize_gradient(const FakeQuantization& quantization, const float* values_gradient,
                            const float* scale_gradient, float* const (&parts_gradient)[kMaxQuantizedParts],
                            float* magnitude_gradient, std::span<std::byte> workspace, const Execution& execution);

void quantize_rows(const QuantizedRows& rows, float* values, float* scale, const Execution& execution);
std::size_t workspace_bytes(const QuantizedRows& rows);
void quantize_rows_gradient(const QuantizedRows& rows, const float* values_gradient, const float* scale_gradient,
                            const QuantizedRowsGradients& gradients, std::span<std::byte> workspace,
                            const Execution& execution);

void quantize_weights(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                      const float* parameters, float* values, float* scales, const Execution& execution);
void quantize_weights_gradient(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                               const float* parameters, const float* values_gradient, const float* scales_gradient,
                               float* gradient, const Execution& execution);

}  // namespace cuda
}  // namespace starling::fakequantization
