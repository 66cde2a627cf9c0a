#include "showers/electromagnetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace starling::showers {

namespace {

/// ln Γ(a) for a > 0: Stirling's series, behind the recurrence for small a. (std::lgamma writes a global.)
double log_gamma(double a) {
  double product = 1;
  for (; a < 8; a += 1) product *= a;
  const double inverse = 1 / a, square = inverse * inverse;
  const double series = inverse * (1. / 12 - square * (1. / 360 - square * (1. / 1260 - square / 1680)));
  return (a - 0.5) * std::log(a) - a + 0.5 * std::log(2 * std::numbers::pi) + series - std::log(product);
}

/// The parameters of one shower, of hep-ex/0001020, appendix A.1. Depths in radiation lengths.
struct Profile {
  double alpha, beta;
  double mean_depth;    ///< what τ is measured in
  double core0, core1;  ///< R_C = core0 + core1 τ, Molière radii
  double tail0, tail1;  ///< R_T = tail0 (exp(−2.59 (τ − 0.645)) + exp(tail1 (τ − 0.645)))
  double weight0, weight1, weight2;

  Profile(const ElectromagneticShowers& model, double energy, Random& random) {
    const double z = model.atomic_number;
    // Below 20 critical energies the spread of the parameters has no meaning: such showers have the shape of those.
    const double log_y = std::max(3.0, std::log(energy / model.critical_energy));
    const double log_energy = std::log(std::max(energy, 20 * model.critical_energy));
    const double mean_alpha = 0.81 + (0.458 + 2.26 / z) * log_y;
    const double sigma_t = 1 / (-1.4 + 1.26 * log_y), sigma_alpha = 1 / (-0.58 + 0.86 * log_y);
    const double rho = std::clamp(0.705 - 0.023 * log_y, -1.0, 1.0);
    const double a = random.normal(), b = random.normal();
    const double same = std::sqrt(0.5 * (1 + rho)), opposite = std::sqrt(0.5 * (1 - rho));
    const double maximum = std::exp(std::log(log_y - 0.812) + sigma_t * (same * a + opposite * b));
    alpha = std::max(1.1, std::exp(std::log(mean_alpha) + sigma_alpha * (same * a - opposite * b)));
    beta = (alpha - 1) / maximum;
    mean_depth = alpha / beta * (mean_alpha - 1) / mean_alpha;
    core0 = 0.0251 + 0.00319 * log_energy;
    core1 = 0.1162 - 0.000381 * z;
    tail0 = 0.659 - 0.00309 * z;
    tail1 = 0.3585 + 0.0421 * log_energy;
    weight0 = 2.632 - 0.00094 * z;
    weight1 = 0.401 + 0.00187 * z;
    weight2 = std::max(0.2, 1.313 - 0.0686 * log_energy);
  }
};

/// Where on its way a photon is after so many radiation lengths.
Depth converted(const ShowerDetector& detector, Depth depth, double stretch, double way) {
  const auto count = static_cast<std::int32_t>(detector.layers.size());
  for (; depth.layer < count; depth = {depth.layer + 1, 0}) {
    const double whole = stretch * detector.layers[static_cast<std::size_t>(depth.layer)].radiation_lengths;
    const double left = whole * (1 - depth.part);
    if (way < left) return {depth.layer, depth.part + way / whole};
    way -= left;
  }
  return depth;
}

}  // namespace

double gamma_below(double a, double x) {
  if (x <= 0) return 0;
  const double front = std::exp(a * std::log(x) - x - log_gamma(a));
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (double n = a + 1; term > 1e-9 * sum; n += 1) sum += term *= x / n;
    return std::min(1.0, front * sum);
  }
  // The continued fraction of the upper function (Lentz's method).
  double b = x + 1 - a, c = 1e300, d = 1 / b, fraction = d;
  for (int i = 1; i < 200; ++i) {
    const double factor = -i * (i - a);
    b += 2;
    d = 1 / (factor * d + b);
    c = b + factor / c;
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-9) break;
  }
  return std::max(0.0, 1 - front * fraction);
}

void electromagnetic_shower(const ShowerDetector& detector, const Line& line, Depth depth, double energy, Shower kind,
                            Random& random, Deposits& deposits) {
  const ElectromagneticShowers& model = detector.electromagnetic;
  const double stretch = line.stretch();
  if (kind == Shower::photon) depth = converted(detector, depth, stretch, 9. / 7 * random.exponential());
  const Profile profile(model, energy, random);
  // A step across the line becomes one across the layer: along the line's own direction it grows by `stretch`.
  const double across = std::hypot(line.slope_x, line.slope_y);
  const double along_x = across > 0 ? line.slope_x / across : 1, along_y = across > 0 ? line.slope_y / across : 0;
  const double sampled = model.sampling * model.sampling / model.sampling_depth;

  double way = 0, before = 0;
  for (const auto count = static_cast<std::int32_t>(detector.layers.size()); depth.layer < count && before < 1 - 1e-6;
       depth = {depth.layer + 1, 0}) {
    const CalorimeterLayer& layer = detector.layers[static_cast<std::size_t>(depth.layer)];
    const double whole = stretch * layer.radiation_lengths, thickness = whole * (1 - depth.part);
    const double middle = way + 0.5 * thickness;
    way += thickness;
    const double below = gamma_below(profile.alpha, profile.beta * way);
    const double deposit = energy * (below - before);
    before = below;
    if (deposit < 1e-7) continue;
    const double variance = sampled * whole;  // GeV per GeV
    const double fluctuated = variance > 0 ? random.gamma(deposit / variance) * variance : deposit;
    int spots = random.poisson(fluctuated / layer.mip_energy);
    if (spots == 0) continue;

    const double tau = middle / profile.mean_depth;
    const double core = layer.moliere_radius * (profile.core0 + profile.core1 * tau);
    const double tail = layer.moliere_radius * profile.tail0 *
                        (std::exp(-2.59 * (tau - 0.645)) + std::exp(std::min(5.0, profile.tail1 * (tau - 0.645))));
    const double place = (profile.weight1 - tau) / profile.weight2;
    const double weight = std::clamp(profile.weight0 * std::exp(place - std::exp(place)), 0.0, 1.0);
    const Line here = line.at(layer.position);
    for (; spots > 0; --spots) {
      const double scale = random.uniform() < weight ? core : tail;
      const double part = random.uniform();
      const double radius = scale * std::sqrt(part / (1 - part));
      const double angle = 2 * std::numbers::pi * random.uniform();
      const double forward = stretch * radius * std::cos(angle), aside = radius * std::sin(angle);
      deposits.add(depth.layer, line.back, here.x + forward * along_x - aside * along_y,
                   here.y + forward * along_y + aside * along_x, ionisation(random), here.time);
    }
  }
}

}  // namespace starling::showers
