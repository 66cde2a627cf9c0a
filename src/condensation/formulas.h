#pragma once

#include <cmath>

#include "arithmetic/host_device.h"
#include "starling/condensation.h"

namespace starling::condensation {

/// A function's value and its derivative.
template <typename T>
struct Value {
  T value, derivative;
};

/// arctanh of β, cut at 1 − 2^−13 or, soft, of β / 1.001; of β. Written so that float keeps its digits near 1.
template <typename T>
STARLING_HOST_DEVICE Value<T> arctanh(T beta, bool soft) {
  if (soft) {
    const T above = T(1.001) + beta, below = (T(1) - beta) + T(0.001);
    return {T(0.5) * std::log(above / below), T(1.001) / (above * below)};
  }
  const T highest = T(1) - T(1) / T(8192);
  const T b = beta < T(0) ? T(0) : (beta > highest ? highest : beta);
  const bool inside = beta >= T(0) && beta <= highest;
  return {T(0.5) * std::log1p(T(2) * b / (T(1) - b)), inside ? T(1) / ((T(1) - b) * (T(1) + b)) : T(0)};
}

template <typename T>
STARLING_HOST_DEVICE Value<T> charge(T beta, const CondensationOptions& options) {
  const Value<T> a = arctanh(beta, options.soft_charge);
  return {a.value * a.value + static_cast<T>(options.q_min), T(2) * a.value * a.derivative};
}

/// ξ of the payload: charge without q_min, at least 1e-6.
template <typename T>
STARLING_HOST_DEVICE Value<T> payload_weight(T beta, const CondensationOptions& options) {
  const Value<T> a = arctanh(beta, options.soft_charge);
  const T square = a.value * a.value;
  const bool above = square >= T(1e-6);
  return {above ? square : T(1e-6), above ? T(2) * a.value * a.derivative : T(0)};
}

/// Of u = d² / (2 φ² + ε) in the slide form, of d² in the others.
template <typename T>
STARLING_HOST_DEVICE Value<T> attraction(T u, CondensationForm form) {
  if (form != CondensationForm::slide) return {u, T(1)};
  constexpr T kE = T(2.718281828459045235);
  return {std::log(kE * u + T(1)), kE / (kE * u + T(1))};
}

template <typename T>
STARLING_HOST_DEVICE Value<T> repulsion(T u, CondensationForm form) {
  if (form == CondensationForm::slide) {
    const T value = std::exp(-u);
    return {value, -value};
  }
  const T d = std::sqrt(form == CondensationForm::fgc ? u + T(1e-6) : u);
  if (d >= T(1)) return {T(0), T(0)};
  return {T(1) - d, d == T(0) ? T(0) : T(-0.5) / d};
}

/// 1 / (2 φ² + ε), of φ.
template <typename T>
STARLING_HOST_DEVICE Value<T> inverse_scale(T phi, CondensationForm form) {
  if (form != CondensationForm::slide) return {T(1), T(0)};
  const T s = T(1) / (T(2) * phi * phi + T(1e-6));
  return {s, T(-4) * phi * s * s};
}

/// What the sums of one object's attraction and repulsion are divided by: 1 / (T |H_t|) and 1 / (T |R_t|), or 1 / N.
template <typename T>
struct Shares {
  T attraction, repulsion;
};
template <typename T>
STARLING_HOST_DEVICE Shares<T> shares(CondensationForm form, std::int32_t event_hits, std::int32_t event_objects,
                                      std::int32_t object_hits) {
  if (form == CondensationForm::paper) return {T(1) / T(event_hits), T(1) / T(event_hits)};
  const std::int32_t others = event_hits - object_hits;
  return {T(1) / (T(event_objects) * T(object_hits)), others == 0 ? T(0) : T(1) / (T(event_objects) * T(others))};
}

/// r² of a condensation point, r = t_d φ: in double, then rounded to T. A d² that overflows T is +infinity, which only
/// an infinite t_d may reach: a square above the largest T becomes that.
template <typename T>
STARLING_HOST_DEVICE T reach2(double t_d, T phi) {
  const double r = t_d * static_cast<double>(phi);
  const T square = static_cast<T>(r * r);
  return std::isinf(square) && !std::isinf(t_d) ? std::nextafter(square, T(0)) : square;
}

}  // namespace starling::condensation
