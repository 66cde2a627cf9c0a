#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "arithmetic/host_device.h"

// The inverse of the tangent and of the hyperbolic sine, for host and device: the libraries' differ. Both are computed
// in double, where no float is too small or too large, and rounded once. Nothing here may be contracted to fused
// multiply-adds: the sources that include it are compiled accordingly, so that every backend gives the same bytes.

namespace starling::arithmetic {

/// The angle of (x, y), −π..π, within 0.501 units in the last place; zeros, infinities and what is not a number as in
/// the C library's atan2.
/// An octant's angle is that of t in 0..1; above tan(π/8) it is π/4 + arctan((t − 1) / (t + 1)). The polynomial is the
/// best of degree 8 for arctan(t) / t in t², to 2.6e-14 of it.
STARLING_HOST_DEVICE float arctan2(float y, float x) {
  constexpr double kPi = 3.14159265358979323846, kTanEighth = 0.41421356237309503;
  const double across = fabs(double{y}), along = fabs(double{x});
  const bool steep = across > along, equal = across == along;
  const double large = steep ? across : along, small = steep ? along : across;
  const bool turned = small > kTanEighth * large || (equal && large > 0);
  const double numerator = turned ? small - large : small, denominator = turned ? small + large : large;
  // Both zero, or both infinite: 0 / 0 else.
  const bool undefined = equal && (large == 0 || large - large != 0);
  const double t = undefined ? 0 : numerator / denominator, t2 = t * t;
  double sum = 0.030709508776821052;
  sum = sum * t2 - 0.058777505813258586;
  sum = sum * t2 + 0.07564612659487113;
  sum = sum * t2 - 0.09078524746610281;
  sum = sum * t2 + 0.11110395777671886;
  sum = sum * t2 - 0.1428569089551622;
  sum = sum * t2 + 0.19999999615081507;
  sum = sum * t2 - 0.33333333330887405;
  sum = sum * t2 + 0.9999999999999744;
  double angle = sum * t + (turned ? kPi / 4 : 0);
  angle = steep ? kPi / 2 - angle : angle;
  angle = std::signbit(x) ? kPi - angle : angle;
  return static_cast<float>(std::copysign(angle, double{y}));
}

/// The inverse hyperbolic sine within 0.501 units in the last place.
/// With u = |x| + x² / (1 + √(1 + x²)) it is ln(1 + u). 1 + u = 2^n (1 + m), 1 + m in √½..√2, and ln(1 + m) is
/// 2 artanh s, s = m / (2 + m). For n = 0, m is u itself, of which 1 + u has lost a part. The polynomial is the best of
/// degree 5 for artanh(s) / s in s², to 2.7e-14 of it.
STARLING_HOST_DEVICE float arsinh(float x) {
  constexpr double kLog2 = 0.69314718055994530942;
  const double size = fabs(double{x}), square = size * size;
  const double u = size + square / (1 + sqrt(1 + square)), whole = 1 + u;
  std::int64_t bits;
  memcpy(&bits, &whole, sizeof(bits));
  constexpr std::int64_t kRootHalf = 0x3fe6a09e667f3bcd;  // the bits of √½
  const std::int64_t n = (bits - kRootHalf) >> 52;
  bits -= n * (std::int64_t{1} << 52);
  double scaled;
  memcpy(&scaled, &bits, sizeof(scaled));
  const double m = n == 0 ? u : scaled - 1, s = m / (2 + m), s2 = s * s;
  double sum = 0.09804616901832695;
  sum = sum * s2 + 0.11087083650068996;
  sum = sum * s2 + 0.14286084121844733;
  sum = sum * s2 + 0.19999997435049613;
  sum = sum * s2 + 0.33333333339828997;
  sum = sum * s2 + 0.9999999999999734;
  const double value = static_cast<double>(static_cast<std::int32_t>(n)) * kLog2 + 2 * s * sum;
  // Infinity and what is not a number give u − u ≠ 0.
  return u - u != 0 ? x : static_cast<float>(std::copysign(value, double{x}));
}

}  // namespace starling::arithmetic
