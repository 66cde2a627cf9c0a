#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "starling/error.h"
#include "starling/shower_metrics.h"

namespace starling {
namespace {

constexpr std::array kEnergyBins = {0.1, 0.2, 0.5, 1., 2., 5., 10., 20., 50., 100., 200., 500., 1000.};
constexpr std::array kEtaBins = {0.,   0.25, 0.5,  0.75, 1.,   1.25, 1.5,  1.75, 2.,
                                 2.25, 2.5,  2.75, 3.,   3.25, 3.5,  3.75, 4.};
constexpr std::array kShareBins = {0., 0.3, 0.6, 0.9, 1.};

bool in_bin(ShowerAxis axis, int bin, double value) {
  const std::span<const double> bounds = shower_bins(axis);
  if (bin < 0 || static_cast<std::size_t>(bin) + 1 >= bounds.size()) {
    throw Error(ErrorKind::usage, "bin " + std::to_string(bin) + ": expected one of " +
                                      std::to_string(bounds.size() - 1) + " bins of the axis");
  }
  const auto at = static_cast<std::size_t>(bin);
  const bool last_share = axis == ShowerAxis::own_share && at + 2 == bounds.size();
  return value >= bounds[at] && (value < bounds[at + 1] || (last_share && value == bounds[at + 1]));
}

double harmonic_mean(double a, double b) { return a + b == 0 ? 0 : 2 * a * b / (a + b); }

// Numerator and denominator.
std::pair<double, double> energies(const JudgedShower& shower, ShowerRatio ratio) {
  switch (ratio) {
    case ShowerRatio::cluster_to_visible:
      return {shower.cluster_energy, shower.visible};
    case ShowerRatio::cluster_to_generated:
      return {shower.cluster_energy, shower.generated};
    case ShowerRatio::reconstructed_to_generated:
      return {shower.reconstructed, shower.generated};
    case ShowerRatio::visible_to_generated:
      return {shower.visible, shower.generated};
  }
  throw Error(ErrorKind::usage, "a ratio of showers that is not known");
}

}  // namespace

std::string to_string(ShowerAxis axis) {
  switch (axis) {
    case ShowerAxis::energy:
      return "energy";
    case ShowerAxis::abs_eta:
      return "abs_eta";
    case ShowerAxis::own_share:
      return "own_share";
  }
  throw Error(ErrorKind::usage, "an axis of showers that is not known");
}

std::string to_string(ShowerRatio ratio) {
  switch (ratio) {
    case ShowerRatio::cluster_to_visible:
      return "cluster_to_visible";
    case ShowerRatio::cluster_to_generated:
      return "cluster_to_generated";
    case ShowerRatio::reconstructed_to_generated:
      return "reconstructed_to_generated";
    case ShowerRatio::visible_to_generated:
      return "visible_to_generated";
  }
  throw Error(ErrorKind::usage, "a ratio of showers that is not known");
}

std::span<const double> shower_bins(ShowerAxis axis) {
  switch (axis) {
    case ShowerAxis::energy:
      return kEnergyBins;
    case ShowerAxis::abs_eta:
      return kEtaBins;
    case ShowerAxis::own_share:
      return kShareBins;
  }
  throw Error(ErrorKind::usage, "an axis of showers that is not known");
}

bool ShowerSelection::contains(const JudgedShower& shower) const {
  if (kind && shower.kind != kind) return false;
  if (hard && !shower.hard) return false;
  if (!axis) return true;
  const double value = *axis == ShowerAxis::energy    ? shower.visible
                       : *axis == ShowerAxis::abs_eta ? std::abs(shower.eta)
                                                      : shower.own_share;
  return in_bin(*axis, bin, value);
}

Ratio ShowerMetrics::efficiency(const ShowerSelection& selection) const {
  Ratio result;
  for (const JudgedShower& shower : showers) {
    if (selection.contains(shower)) result += Ratio{shower.found(), 1};
  }
  return result;
}

Ratio ShowerMetrics::fakes(std::optional<ShowerAxis> axis, int bin) const {
  if (axis == ShowerAxis::own_share) throw Error(ErrorKind::usage, "fakes: clusters have no neighbourhood");
  Ratio result;
  for (const JudgedCluster& cluster : clusters) {
    const double value = axis == ShowerAxis::energy ? cluster.energy : std::abs(cluster.eta);
    if (!axis || in_bin(*axis, bin, value)) result += Ratio{cluster.fake, 1};
  }
  return result;
}

ShowerMetrics::F ShowerMetrics::f() const {
  const Ratio found = efficiency(), fake = fakes();
  const double e = found.value(), p = 1 - fake.value(), value = harmonic_mean(e, p);
  // Differences, not derivatives: at e = 0, F's derivative by e is 2, and one shower that is not found has a wide e.
  const double below = std::hypot(value - harmonic_mean(found.low(), p), value - harmonic_mean(e, 1 - fake.high()));
  const double above = std::hypot(harmonic_mean(found.high(), p) - value, harmonic_mean(e, 1 - fake.low()) - value);
  if (std::isnan(value)) return {value, value, value};
  return {value, std::max(0., value - below), std::min(1., value + above)};
}

Spread ShowerMetrics::response(ShowerRatio ratio, const ShowerSelection& selection) const {
  std::vector<double> values;
  for (const JudgedShower& shower : showers) {
    if (!shower.found() || !selection.contains(shower)) continue;
    const auto [upper, lower] = energies(shower, ratio);
    if (lower > 0 && !std::isnan(upper)) values.push_back(upper / lower);
  }
  return spread_of(values);
}

}  // namespace starling
