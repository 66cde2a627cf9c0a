#include "simulate/spectrum.h"

#include <algorithm>
#include <cmath>

namespace starling::simulate {

Spectrum::Spectrum(double lowest, double median, double power) : power_(power) {
  // The median grows with p0. For p0 → ∞ the part above `lowest` has no median at all: the bounds hold the answer where
  // there is one, else give the hardest spectrum.
  double low = 1e-4 * median, high = 1e3 * median;
  for (int step = 0; step < 80; ++step) {
    scale_ = std::sqrt(low * high);
    (survival(median / scale_) < 0.5 * survival(lowest / scale_) ? low : high) = scale_;
  }
  lowest_ = lowest / scale_;
  above_ = survival(lowest_);
}

/// The part of the whole spectrum above x = pt / p0.
double Spectrum::survival(double x) const { return (1 + (power_ - 1) * x) * std::pow(1 + x, 1 - power_); }

double Spectrum::draw(Random& random) const {
  const double target = above_ * random.uniform();
  // Newton's method on log(survival) over log(x), which is concave: from the second step on it closes in from above.
  double x = std::max(lowest_, 1.);
  for (int step = 0; step < 50; ++step) {
    const double value = survival(x);
    const double steepness = (power_ - 1) * (power_ - 2) * x * x * std::pow(1 + x, -power_) / value;
    const double factor = std::exp(std::log(value / target) / steepness);
    x = std::max(x * factor, lowest_);
    if (std::abs(factor - 1) < 1e-9 || x == lowest_) break;
  }
  return x * scale_;
}

}  // namespace starling::simulate
