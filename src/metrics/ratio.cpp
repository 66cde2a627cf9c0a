// Clopper–Pearson intervals: quantiles of the beta distribution, by inverting the regularised incomplete beta function.
#include <cmath>
#include <limits>

#include "starling/metrics.h"

namespace starling {
namespace {

constexpr double kTail = 0.158655253931457051;  // (1 − erf(1/√2)) / 2: what lies beyond one σ on one side

// Continued fraction of the incomplete beta function (NIST DLMF 8.17.22) by Lentz's method; converges fast for
// x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m < 100'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    value *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return value;
}

// The regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

// The x with I_x(a, b) = p. I_x grows with x, so halving always finds it.
double beta_quantile(double a, double b, double p) {
  double low = 0, high = 1;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (incomplete_beta(a, b, middle) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

double Ratio::value() const {
  if (total == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(passed) / static_cast<double>(total);
}

double Ratio::low() const {
  if (passed <= 0) return 0;
  return beta_quantile(static_cast<double>(passed), static_cast<double>(total - passed + 1), kTail);
}

double Ratio::high() const {
  if (passed >= total) return 1;
  return beta_quantile(static_cast<double>(passed + 1), static_cast<double>(total - passed), 1 - kTail);
}

Ratio& Ratio::operator+=(const Ratio& other) {
  passed += other.passed;
  total += other.total;
  return *this;
}

}  // namespace starling
