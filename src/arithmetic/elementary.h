#pragma once

#include <cstdint>
#include <cstring>

#include "arithmetic/host_device.h"

// The exponential and the logarithm, for host and device: the libraries' differ. Nothing here may be contracted to
// fused multiply-adds: the sources that include it are compiled accordingly, so that every backend gives the same
// bytes.

namespace starling::arithmetic {

template <typename T>
struct Exponent;

template <>
struct Exponent<float> {
  using Bits = std::int32_t;
  static constexpr float kLowest = -104.f;  // below, exp rounds to 0
  static constexpr float kHighest = 88.72284f;
  static constexpr float kRound = 12582912.f;  // 3/2 · 2^23: adding it rounds to an integer
  static constexpr float kLog2High = 0.693359375f,
                         kLog2Low = -2.12194440e-4f;  // ln 2; times |n| < 2^8 the first is exact
  static constexpr int kTerms = 7, kMantissa = 23, kBias = 127;
};

template <>
struct Exponent<double> {
  using Bits = std::int64_t;
  static constexpr double kLowest = -745.2, kHighest = 709.782712893384;
  static constexpr double kRound = 6755399441055744.;  // 3/2 · 2^52
  static constexpr double kLog2High = 0.693145751953125, kLog2Low = 1.42860682030941723212e-6;
  static constexpr int kTerms = 13, kMantissa = 52, kBias = 1023;
};

/// exp(x) within 1.2 units in the last place, exp(−∞) = 0.
/// x = n ln 2 + r with |r| ≤ ½ ln 2; the Taylor series of exp(r), times 2^n in two exact halves.
template <typename T>
STARLING_HOST_DEVICE T exponential(T x) {
  using E = Exponent<T>;
  using Bits = typename E::Bits;
  const bool vanishes = x<E::kLowest, grows = x> E::kHighest;
  const T within = vanishes || grows || x != x ? T(0) : x;
  const T n = (within * T(1.4426950408889634) + E::kRound) - E::kRound;
  const T r = (within - n * E::kLog2High) - n * E::kLog2Low;
  T inverse_factorial[E::kTerms + 1];
  inverse_factorial[0] = 1;
  double factorial = 1;
  for (int i = 1; i <= E::kTerms; ++i) inverse_factorial[i] = T(1 / (factorial *= i));
  T sum = inverse_factorial[E::kTerms];
  for (int i = E::kTerms - 1; i >= 0; --i) sum = sum * r + inverse_factorial[i];
  const Bits whole = static_cast<Bits>(n), half = whole / 2, rest = whole - half;
  const Bits bits[2] = {(half + E::kBias) << E::kMantissa, (rest + E::kBias) << E::kMantissa};
  T power[2];
  memcpy(power, bits, sizeof(power));
  const T value = sum * power[0] * power[1];
  return vanishes ? T(0) : (grows ? T(1) / T(0) : (x != x ? x : value));
}

/// ln x of a normal, finite x > 0, within 2 units in the last place where x ≥ 1.5.
/// x = 2^n m with m in √½..√2; ln m = 2 artanh s, s = (m − 1) / (m + 1), |s| < 0.172.
STARLING_HOST_DEVICE float logarithm(float x) {
  using E = Exponent<float>;
  std::int32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  constexpr std::int32_t kRootHalf = 0x3f3504f3;  // the bits of √½
  const std::int32_t n = (bits - kRootHalf) >> E::kMantissa;
  bits -= n * (std::int32_t{1} << E::kMantissa);
  float m;
  memcpy(&m, &bits, sizeof(m));
  const float s = (m - 1.f) / (m + 1.f), s2 = s * s;
  const float series = (((s2 * (1.f / 9.f) + 1.f / 7.f) * s2 + 1.f / 5.f) * s2 + 1.f / 3.f) * s2 * s + s;
  const float whole = static_cast<float>(n);
  return whole * E::kLog2High + (whole * E::kLog2Low + 2.f * series);
}

}  // namespace starling::arithmetic
