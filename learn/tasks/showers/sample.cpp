#include "learn/tasks/showers/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "starling/error.h"

namespace starling::learn::showers {
namespace {

// The largest ln of a correction that is learned: a muon leaves a hundredth of its energy, and its hits do not tell how
// much it had.
constexpr double kLargestLog = 1.5;

using Vector = std::array<double, 3>;

// The point on the axis (eta, phi) that is as far from the origin as `from`, less `from`.
std::array<float, 3> correction_to_axis(const Vector& from, double eta, double phi) {
  const double r = std::hypot(from[0], from[1], from[2]), pt = r / std::cosh(eta);
  return {static_cast<float>(pt * std::cos(phi) - from[0]), static_cast<float>(pt * std::sin(phi) - from[1]),
          static_cast<float>(pt * std::sinh(eta) - from[2])};
}

}  // namespace

Sample make_sample(const CalorimeterEvent& event, const ShowerFeatures& features) {
  if (!event.truth || !event.showers) {
    throw Error(ErrorKind::input, event.name + ": training needs truth and showers, and this event has none");
  }
  const CalorimeterHits& hits = event.hits;
  const Showers& showers = *event.showers;
  const auto num_hits = static_cast<std::size_t>(hits.size()), num_showers = static_cast<std::size_t>(showers.size());
  const std::vector<std::int32_t> shower = dominant_shower(*event.truth);

  std::vector<double> energy(num_showers, 0.);
  std::vector<std::int32_t> count(num_showers, 0);
  std::vector<Vector> centre(num_showers, Vector{});
  for (std::size_t i = 0; i < num_hits; ++i) {
    if (shower[i] < 0) continue;
    const auto s = static_cast<std::size_t>(shower[i]);
    const double e = hits.energy[i];
    energy[s] += e;
    ++count[s];
    centre[s] = {centre[s][0] + e * hits.x[i], centre[s][1] + e * hits.y[i], centre[s][2] + e * hits.z[i]};
  }

  Sample sample;
  sample.num_hits = hits.size();
  std::vector<std::int32_t> number(num_showers, -1);
  std::int32_t objects = 0;
  std::vector<std::array<float, kTargets>> targets(num_showers);
  for (std::size_t s = 0; s < num_showers; ++s) {
    if (energy[s] <= 0) continue;
    number[s] = objects++;
    std::array<float, kTargets>& target = targets[s];
    const auto kind = showers.pdg.empty() ? std::nullopt : shower_kind(showers.pdg[s]);
    target[kClass] = kind ? static_cast<float>(*kind) : -1.f;
    if (!showers.energy.empty() && showers.energy[s] > 0) {
      const double correction = std::log(showers.energy[s] / energy[s]);
      target[kLogCorrection] = static_cast<float>(std::clamp(correction, -kLargestLog, kLargestLog));
      target[kKnownEnergy] = std::abs(correction) < kLargestLog ? 1.f : 0.f;
    }
    target[kOthers] = static_cast<float>(hits.size() - count[s]);
    if (!showers.eta.empty() && !showers.phi.empty()) {
      for (double& component : centre[s]) component /= energy[s];
      const auto correction = correction_to_axis(centre[s], showers.eta[s], showers.phi[s]);
      std::copy(correction.begin(), correction.end(), target.begin() + kCorrectionX);
    }
  }

  sample.features = shower_features(hits, features);
  sample.object.assign(num_hits, -1);
  sample.targets.assign(num_hits * kTargets, 0.f);
  for (std::size_t i = 0; i < num_hits; ++i) {
    float* const target = sample.targets.data() + i * kTargets;
    target[kClass] = -1;
    if (shower[i] < 0 || number[static_cast<std::size_t>(shower[i])] < 0) continue;
    sample.object[i] = number[static_cast<std::size_t>(shower[i])];
    const std::array<float, kTargets>& of_object = targets[static_cast<std::size_t>(shower[i])];
    std::copy(of_object.begin(), of_object.end(), target);
  }
  return sample;
}

}  // namespace starling::learn::showers
