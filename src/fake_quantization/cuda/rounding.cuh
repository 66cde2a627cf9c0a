#pragma once

#include <cuda_runtime.h>

#include "starling/fake_quantization.h"

// The arithmetic of fake quantisation, one operation of docs/definitions.md per line, and sums in a fixed order. What
// is not a number stays so: comparisons are written for it.
namespace starling::fakequantization::cuda {
namespace {

/// Rounding in the numbers that it is done with.
struct Codes {
  float divisor, low, high, least;
  bool bound_scale = false, passes_outside = false, power_of_two = false;
};
inline Codes codes_of(const Rounding& rounding) {
  return {static_cast<float>(rounding.divisor),
          static_cast<float>(rounding.low),
          static_cast<float>(rounding.high),
          static_cast<float>(rounding.least),
          rounding.bound_scale,
          rounding.passes_outside,
          rounding.power_of_two};
}

__device__ inline float at_least(float value, float least) { return value < least ? least : value; }

__device__ inline float exact_scale(float magnitude, const Codes& codes) {
  const float size = fabsf(magnitude);
  return codes.bound_scale ? at_least(size / codes.divisor, codes.least) : at_least(size, codes.least) / codes.divisor;
}
__device__ inline float scale_of(float magnitude, const Codes& codes) {
  const float scale = exact_scale(magnitude, codes);
  if (!codes.power_of_two) return scale;
  int exponent = 0;
  const float mantissa = frexpf(scale, &exponent);  // in [0.5, 1)
  return ldexpf(1.f, mantissa == 0.5f ? exponent - 1 : exponent);
}

/// One value and its code.
struct Rounded {
  float u, code;
  bool is_inside;

  __device__ Rounded(float x, float scale, const Codes& codes) : u(x / scale) {
    const float rounded = rintf(u + 0.f);
    code = rounded < codes.low ? codes.low : rounded > codes.high ? codes.high : rounded;
    is_inside = codes.passes_outside || rounded == code;
  }
  __device__ float value(float scale) const { return code * scale; }
  /// ∂L/∂x from g = ∂L/∂y, and what the value adds to ∂L/∂scale.
  __device__ float gradient(float g, float scale) const { return is_inside ? (g * scale) / scale : 0.f; }
  __device__ float of_scale(float g, float scale) const {
    return g * code - (is_inside ? (u / scale) * (g * scale) : 0.f);
  }
};

/// ∂L/∂magnitude from ∂L/∂scale.
__device__ inline float gradient_of_magnitude(float of_scale, float magnitude, const Codes& codes) {
  float result = of_scale / codes.divisor;
  if (codes.power_of_two) result *= scale_of(magnitude, codes) / exact_scale(magnitude, codes);
  const float sign = magnitude > 0.f ? 1.f : magnitude < 0.f ? -1.f : magnitude;
  return sign * result;
}

}  // namespace
}  // namespace starling::fakequantization::cuda
