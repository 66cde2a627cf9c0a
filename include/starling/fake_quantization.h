#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "starling/device.h"

// Training with fake quantisation on a CUDA device (docs/definitions.md, Fake quantisation): values rounded to codes
// times a scale, each function one pass over its arrays, and the gradients. The arithmetic is that of the definition,
// each line one operation of IEEE in float. Sums over values for the gradients of scales are in double, in an order
// that depends on sizes alone: the same bytes on every call.
//
// There is no form for the host: there learn/ops computes the same with LibTorch's operators, which are what these
// functions are compared with. Device::cpu is ErrorKind::usage. All pointers are device memory, in float; functions
// throw ErrorKind::usage naming the rule for sizes out of range and for arrays that are not there.
namespace starling {

/// scale = magnitude / divisor; codes are cut off at low and high.
struct Rounding {
  double divisor = 1.;
  double low = 0., high = 0.;
  double least = 0.;            ///< of |magnitude|, or of the scale
  bool bound_scale = false;     ///< `least` is of the scale
  bool passes_outside = false;  ///< values whose code is cut off have a gradient
  bool power_of_two = false;    ///< the scale is rounded up to one
};

inline constexpr double kLeastMagnitude = 1e-10;  ///< of a maximum and of a threshold

/// Of weights of `bits`, their magnitude being the largest |w|; of activations, a threshold; of biases, their scale.
inline Rounding weight_rounding(std::int64_t bits, bool power_of_two) {
  const auto most = static_cast<double>((std::int64_t{1} << (bits - 1)) - 1);
  return {most, -most, most, kLeastMagnitude, /*bound_scale=*/false, /*passes_outside=*/true, power_of_two};
}
inline Rounding activation_rounding(std::int64_t bits, bool is_signed, bool power_of_two) {
  const auto half = static_cast<double>(std::int64_t{1} << (bits - 1)), most = 2 * half - 1;
  return {is_signed ? half : most, is_signed ? -half : 0.,   is_signed ? half - 1 : most,
          kLeastMagnitude,
          /*bound_scale=*/false,   /*passes_outside=*/false, power_of_two};
}
inline Rounding bias_rounding(std::int64_t bits) {
  const auto half = static_cast<double>(std::int64_t{1} << (bits - 1));
  return {1., -half, half - 1};
}

inline constexpr int kMaxQuantizedParts = 4;

/// Arrays side by side, rounded at one scale. One row may have any width; with more, rows · width is below 2³¹.
struct FakeQuantization {
  Rounding rounding;
  const float* magnitude = nullptr;  ///< [1]
  std::int64_t num_rows = 0;
  int num_parts = 0;  ///< 1..kMaxQuantizedParts
  struct Part {
    const float* values = nullptr;  ///< [num_rows, width]
    std::int64_t width = 0;
  } parts[kMaxQuantizedParts];
};

/// Writes the values of the parts beside each other, [num_rows, sum of widths], and the scale [1].
void fake_quantize(const FakeQuantization& quantization, float* values, float* scale, const Execution& execution);

/// Writes gradients of the parts and of the magnitude [1], where they are not null, from that of the values and, where
/// it is not null, that of the scale [1].
std::size_t fake_quantize_gradient_workspace_bytes(const FakeQuantization& quantization, const Execution& execution);
void fake_quantize_gradient(const FakeQuantization& quantization, const float* values_gradient,
                            const float* scale_gradient, float* const (&parts_gradient)[kMaxQuantizedParts],
                            float* magnitude_gradient, std::span<std::byte> workspace, const Execution& execution);

inline constexpr int kMaxQuantizedWidth = 128;

/// What follows the products of a dense layer, row by row: z = sums + the rounded bias + nodes[first, :W] +
/// nodes[second, W:], the normalisation of z, its ReLU, rounded to codes.
struct QuantizedRows {
  std::int32_t num_rows = 0;
  int width = 0;                ///< W, 1..kMaxQuantizedWidth
  const float* sums = nullptr;  ///< [num_rows, W]
  /// [W], null: none. Its codes are of −2^(bias_bits − 1) to 2^(bias_bits − 1) − 1, its scale weight_scale, [1] or
  /// `per_channel` [W], times input_scale [1].
  const float* bias = nullptr;
  const float *weight_scale = nullptr, *input_scale = nullptr;
  bool per_channel = false;
  int bias_bits = 0;
  const float* nodes = nullptr;                            ///< [num_nodes, 2 W], null: none
  const std::int32_t *first = nullptr, *second = nullptr;  ///< [num_rows], rows of nodes
  bool norm = false;                                       ///< layer normalisation (dense.h)
  const float* threshold = nullptr;                        ///< [1], of `bits`
  int bits = 0;
  bool power_of_two = false;  ///< the scale of the values is rounded up to one
};

/// Writes the values [num_rows, W] and their scale [1].
void quantize_rows(const QuantizedRows& rows, float* values, float* scale, const Execution& execution);

/// All are written, but those of a bias that is not there. That of the sums is also the one of the gathered nodes.
struct QuantizedRowsGradients {
  float* sums = nullptr;                                                   ///< [num_rows, W]
  float *bias = nullptr, *weight_scale = nullptr, *input_scale = nullptr;  ///< shaped as what they are of
  float* threshold = nullptr;                                              ///< [1]
};
std::size_t quantize_rows_gradient_workspace_bytes(const QuantizedRows& rows, const Execution& execution);
void quantize_rows_gradient(const QuantizedRows& rows, const float* values_gradient, const float* scale_gradient,
                            const QuantizedRowsGradients& gradients, std::span<std::byte> workspace,
                            const Execution& execution);

/// A weight [outputs, inputs] at `begin` of an array of parameters.
struct QuantizedWeight {
  std::int64_t begin = 0;
  std::int32_t outputs = 0, inputs = 0;  ///< at least 1
  int bits = 0;
};

/// Rounds all weights of a network: `values` of weights in `parameters`, their scales, one per weight or `per_channel`
/// one per output, one weight after the other, each rounded up to a `power_of_two` where it is asked for. What is no
/// weight is not written.
void quantize_weights(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                      const float* parameters, float* values, float* scales, const Execution& execution);
/// Writes the gradient of the weights in `gradient`. `scales_gradient` may be null: 0.
void quantize_weights_gradient(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                               const float* parameters, const float* values_gradient, const float* scales_gradient,
                               float* gradient, const Execution& execution);

}  // namespace starling
