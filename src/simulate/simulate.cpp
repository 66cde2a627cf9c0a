#include "starling/simulate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>
#include <vector>

#include "simulate/random.h"
#include "simulate/tracker.h"
#include "starling/error.h"

namespace starling {

namespace simulate {
namespace {

/// What a stream of random numbers is for: its high bits.
enum class Purpose : std::uint64_t { event, collision, particle, noise, soft };

Random stream(const SimulationSettings& settings, std::uint64_t event, Purpose purpose, std::uint64_t group = 0,
              std::uint64_t member = 0) {
  return {settings.seed, event, static_cast<std::uint64_t>(purpose) << 44 | group << 24 | member};
}

/// The spectrum pt (1 + pt/p0)^-n above a lowest pt, which falls as a power far above p0.
class Spectrum {
 public:
  /// p0 is chosen for the given median of the part above `lowest`.
  Spectrum(double lowest, double median, double power) : power_(power) {
    double low = 1e-3 * median, high = 1e3 * median;
    for (int step = 0; step < 60; ++step) {
      scale_ = std::sqrt(low * high);
      (survival(median / scale_) < 0.5 * survival(lowest / scale_) ? low : high) = scale_;
    }
    above_ = survival(lowest / scale_);
    lowest_ = lowest / scale_;
  }

  double draw(Random& random) const {
    const double target = above_ * random.uniform();
    // Newton's method on the logarithm, from the power-law tail; falls monotonically.
    double x = std::max(lowest_, std::pow(target, -1 / (power_ - 2)));
    for (int step = 0; step < 30; ++step) {
      const double value = survival(x);
      const double slope = -(power_ - 1) * (power_ - 2) * x * std::pow(1 + x, -power_);
      const double next = std::max(lowest_, x - value * std::log(value / target) / slope);
      if (std::abs(next - x) < 1e-9 * x) break;
      x = next;
    }
    return x * scale_;
  }

 private:
  /// The part of the spectrum above x = pt / p0.
  double survival(double x) const { return (1 + (power_ - 1) * x) * std::pow(1 + x, 1 - power_); }

  double power_, scale_ = 1, above_ = 1, lowest_ = 0;
};

struct Species {
  std::int32_t code;
  double mass, share;
};
constexpr Species kSpecies[] = {{211, 0.13957, 0.82}, {321, 0.49368, 0.11}, {2212, 0.93827, 0.07}};
constexpr Species kElectron = {11, 0.000511, 0};

/// Draws what one particle is and where it starts; keeps its row for the particles file.
class Generator {
 public:
  Generator(const SimulationSettings& settings, const Tracker& tracker)
      : settings_(settings), tracker_(tracker), spectrum_(settings.min_pt, settings.median_pt, settings.pt_power) {}

  Particle draw(double vx, double vy, double vz, Random& random, Particles& particles) const {
    const double pt = spectrum_.draw(random);
    const double eta = random.uniform(-settings_.max_abs_eta, settings_.max_abs_eta);
    double phi = random.uniform(-std::numbers::pi, std::numbers::pi);
    double cot = std::sinh(eta);

    Species species = kSpecies[0];
    if (random.uniform() < settings_.electron_fraction) {
      species = kElectron;
    } else {
      double choice = random.uniform();
      for (const Species& candidate : kSpecies) {
        species = candidate;
        if ((choice -= candidate.share) < 0) break;
      }
    }
    const std::int32_t charge = random.uniform() < 0.5 ? -1 : 1;

    // Decays and interactions: born where a parent got to, and at an angle to its flight.
    const double chance = std::min(0.9, settings_.displaced_fraction * std::pow(std::min(pt, 1.), -0.7));
    const bool displaced = random.uniform() < chance;
    bool primary = true;
    if (displaced) {
      const double radius = std::exp(random.uniform(0, std::log(settings_.displaced_radius)));
      vx += radius * std::cos(phi);
      vy += radius * std::sin(phi);
      vz += radius * cot;
      const double angle = settings_.displaced_angle / pt * random.exponential();
      const double around = random.uniform(0, 2 * std::numbers::pi);
      phi += angle * std::cos(around) * std::sqrt(1 + cot * cot);
      cot += angle * std::sin(around) * (1 + cot * cot);
      primary = random.uniform() < 0.5;
    }

    Particle particle;
    particle.helix.x = vx;
    particle.helix.y = vy;
    particle.helix.z = vz;
    particle.helix.tx = std::cos(phi);
    particle.helix.ty = std::sin(phi);
    particle.helix.cot = cot;
    particle.momentum = pt * std::sqrt(1 + cot * cot);
    particle.mass = species.mass;
    particle.charge = charge;
    particle.electron = species.code == 11;
    particle.helix.curvature = tracker_.curvature(particle);

    particles.particle_id.push_back(static_cast<std::int64_t>(particles.particle_id.size()) + 1);
    particles.vx.push_back(static_cast<float>(vx));
    particles.vy.push_back(static_cast<float>(vy));
    particles.vz.push_back(static_cast<float>(vz));
    particles.px.push_back(static_cast<float>(pt * particle.helix.tx));
    particles.py.push_back(static_cast<float>(pt * particle.helix.ty));
    particles.pz.push_back(static_cast<float>(pt * cot));
    particles.q.push_back(charge);
    particles.nhits.push_back(0);
    // PDG codes of leptons are positive for the negative charge.
    particles.particle_type.push_back(particle.electron ? -charge * species.code : charge * species.code);
    particles.primary.push_back(primary);
    return particle;
  }

 private:
  const SimulationSettings& settings_;
  const Tracker& tracker_;
  Spectrum spectrum_;
};

/// Hits that no listed particle made: single ones, and short strings of hits of soft particles.
void add_background(const Detector& detector, const SimulationSettings& settings, std::uint64_t event,
                    const Tracker& tracker, std::vector<SimulatedHit>& hits) {
  const double scale = settings.background * settings.pileup / 200;
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    const DetectorLayer& layer = detector.layers[i];
    const auto index = static_cast<std::int32_t>(i);
    Random random = stream(settings, event, Purpose::noise, i);
    for (int left = random.poisson(scale * layer.noise_hits); left > 0; --left) {
      hits.push_back(tracker.noise_hit(index, random));
    }
    int wanted = random.poisson(scale * layer.unlabelled_hits);
    for (std::uint64_t member = 0; wanted > 0; ++member) {
      Random soft = stream(settings, event, Purpose::soft, i, member);
      const SimulatedHit start = tracker.noise_hit(index, soft);
      Particle particle;
      const double phi = soft.uniform(-std::numbers::pi, std::numbers::pi), cot = std::sinh(soft.uniform(-1.5, 1.5));
      particle.helix = {start.x, start.y, start.z, std::cos(phi), std::sin(phi), cot, 0};
      particle.momentum = soft.uniform(0.03, 0.15) * std::sqrt(1 + cot * cot);
      particle.mass = kElectron.mass;
      particle.charge = soft.uniform() < 0.5 ? -1 : 1;
      particle.helix.curvature = tracker.curvature(particle);
      hits.push_back(start);
      wanted -= 1 + tracker.follow(particle, kNoise, 2 * std::numbers::pi, std::min(wanted - 1, 6), soft, hits);
    }
  }
}

/// The hits in the order of TrackML's files: by volume, layer and module.
void fill_event(const Detector& detector, std::vector<SimulatedHit>& hits, Event& event) {
  const auto key = [&](const SimulatedHit& hit) {
    const DetectorLayer& layer = detector.layers[static_cast<std::size_t>(hit.layer)];
    return static_cast<std::uint64_t>(layer.volume_id) << 44 | static_cast<std::uint64_t>(layer.layer_id) << 24 |
           static_cast<std::uint64_t>(hit.module);
  };
  std::vector<std::pair<std::uint64_t, std::int32_t>> order(hits.size());
  for (std::size_t i = 0; i < hits.size(); ++i) order[i] = {key(hits[i]), static_cast<std::int32_t>(i)};
  std::sort(order.begin(), order.end());

  Hits& out = event.hits;
  Truth& truth = event.truth.emplace();
  for (auto* column : {&out.x, &out.y, &out.z}) column->reserve(hits.size());
  for (auto* column : {&out.volume_id, &out.layer_id, &out.module_id}) column->reserve(hits.size());
  out.hit_id.resize(hits.size());
  std::iota(out.hit_id.begin(), out.hit_id.end(), std::int64_t{1});
  truth.particle_id.reserve(hits.size());
  for (const auto& entry : order) {
    const SimulatedHit& hit = hits[static_cast<std::size_t>(entry.second)];
    const DetectorLayer& layer = detector.layers[static_cast<std::size_t>(hit.layer)];
    out.x.push_back(hit.x);
    out.y.push_back(hit.y);
    out.z.push_back(hit.z);
    out.volume_id.push_back(layer.volume_id);
    out.layer_id.push_back(layer.layer_id);
    out.module_id.push_back(hit.module);
    truth.particle_id.push_back(hit.particle_id);
  }
}

}  // namespace
}  // namespace simulate

Event simulate_event(const Detector& detector, const SimulationSettings& settings, std::uint64_t event_number) {
  using namespace simulate;
  if (detector.layers.empty()) throw Error(ErrorKind::usage, "simulation: the detector has no layers");

  const Tracker tracker(detector, settings.overlaps);
  const Generator generator(settings, tracker);
  Event event;
  std::string digits = std::to_string(event_number);
  if (digits.size() < 9) digits.insert(0, 9 - digits.size(), '0');
  event.name = "event" + digits;
  Particles& particles = event.particles.emplace();
  std::vector<SimulatedHit> hits;

  Random draw = stream(settings, event_number, Purpose::event);
  const int collisions = 1 + draw.poisson(settings.pileup);
  for (int collision = 0; collision < collisions; ++collision) {
    Random vertex = stream(settings, event_number, Purpose::collision, static_cast<std::uint64_t>(collision));
    const double vx = settings.vertex_sigma_xy * vertex.normal(), vy = settings.vertex_sigma_xy * vertex.normal();
    const double vz = settings.vertex_sigma_z * vertex.normal();
    // Multiplicities of collisions spread like a negative binomial: a Poisson number around a gamma-distributed mean.
    constexpr double shape = 1.2;
    const int count = vertex.poisson(settings.particles / shape * vertex.gamma(shape));
    for (int member = 0; member < count; ++member) {
      Random random = stream(settings, event_number, Purpose::particle, static_cast<std::uint64_t>(collision),
                             static_cast<std::uint64_t>(member));
      Particle particle = generator.draw(vx, vy, vz, random, particles);
      particles.nhits.back() =
          tracker.follow(particle, particles.particle_id.back(), 2 * std::numbers::pi, 25, random, hits);
    }
  }
  add_background(detector, settings, event_number, tracker, hits);
  fill_event(detector, hits, event);
  return event;
}

}  // namespace starling
