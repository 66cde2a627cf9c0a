#include "simulate/tracker.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace starling::simulate {

namespace {

constexpr double kGevPerTeslaMm = 2.99792458e-4;  ///< pt = this · B · radius for charge 1
constexpr double kMinMomentum = 0.02;             ///< GeV: slower particles are taken to stop
constexpr double kMaxSlant = 20;                  ///< longest path through a layer, in thicknesses

}  // namespace

Tracker::Tracker(const Detector& detector, bool overlaps) : detector_(detector), overlaps_(overlaps) {
  if (detector.beam_pipe_radius > 0) {
    barrels_.push_back(
        {detector.beam_pipe_radius, -kNever, kNever, detector.beam_pipe_radiation_lengths, std::int32_t{-1}});
  }
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    const DetectorLayer& layer = detector.layers[i];
    const bool barrel = layer.shape == DetectorLayer::Shape::barrel;
    (barrel ? barrels_ : discs_)
        .push_back({layer.position, layer.min, layer.max, layer.radiation_lengths, static_cast<std::int32_t>(i)});
    max_radius_ = std::max(max_radius_, barrel ? layer.position + layer.spread : layer.max);
    max_z_ = std::max(
        max_z_, barrel ? std::max(std::abs(layer.min), std::abs(layer.max)) : std::abs(layer.position) + layer.spread);
  }
  const auto ascending = [](const Surface& a, const Surface& b) { return a.position < b.position; };
  std::stable_sort(barrels_.begin(), barrels_.end(), ascending);
  std::stable_sort(discs_.begin(), discs_.end(), ascending);
}

double Tracker::curvature(const Particle& particle) const {
  return -kGevPerTeslaMm * detector_.field * particle.charge / particle.pt();
}

int Tracker::follow(Particle& particle, std::int64_t particle_id, double max_turn, int max_hits, Random& random,
                    std::vector<SimulatedHit>& hits) const {
  Helix& helix = particle.helix;
  const std::size_t first_hit = hits.size();
  const double start_radius = helix.radius();
  // The cylinders below `gap` lie inside the particle, the others outside; the discs likewise along z.
  std::size_t gap = 0, slot = 0;
  while (gap < barrels_.size() && barrels_[gap].position <= start_radius) ++gap;
  while (slot < discs_.size() && discs_[slot].position <= helix.z) ++slot;

  double turned = 0;
  while (static_cast<int>(hits.size() - first_hit) < max_hits) {
    enum { none, outer, inner, disc } what = none;
    double s = kNever;
    if (gap < barrels_.size()) {
      s = helix.to_cylinder(barrels_[gap].position, true);
      if (s < kNever) what = outer;
    }
    if (gap > 0) {
      const double to_inner = helix.to_cylinder(barrels_[gap - 1].position, false);
      if (to_inner < s) {
        s = to_inner;
        what = inner;
      }
    }
    const bool forward = helix.cot > 0;
    if (forward ? slot < discs_.size() : slot > 0) {
      const double to_disc = helix.to_plane(discs_[forward ? slot : slot - 1].position);
      if (to_disc < s) {
        s = to_disc;
        what = disc;
      }
    }
    if (what == none) break;
    turned += std::abs(helix.curvature) * s;
    if (turned > max_turn) break;
    helix.advance(s);
    const double r = helix.radius();
    if (r > max_radius_ + 1 || std::abs(helix.z) > max_z_ + 1) break;

    const Surface* surface;
    double along, normal;
    const double slope = std::sqrt(1 + helix.cot * helix.cot);
    if (what == disc) {
      surface = &discs_[forward ? slot : slot - 1];
      slot = forward ? slot + 1 : slot - 1;
      along = r;
      normal = std::abs(helix.cot) / slope;
    } else {
      surface = &barrels_[what == outer ? gap : gap - 1];
      gap = what == outer ? gap + 1 : gap - 1;
      along = helix.z;
      normal = std::abs(helix.x * helix.tx + helix.y * helix.ty) / (r * slope);
    }
    if (along < surface->min || along > surface->max) continue;
    if (surface->layer >= 0) measure(helix, surface->layer, particle_id, random, hits);
    cross_material(particle, surface->material, normal, random);
    if (particle.momentum < kMinMomentum) break;
  }
  return static_cast<int>(hits.size() - first_hit);
}

void Tracker::cross_material(Particle& particle, double material, double normal, Random& random) const {
  if (material <= 0) return;
  Helix& helix = particle.helix;
  const double thickness = material * std::min(kMaxSlant, 1 / std::max(normal, 1e-9));
  const double energy = std::hypot(particle.momentum, particle.mass);
  const double beta = particle.momentum / energy;

  // Highland's width of the projected angle (PDG, "Passage of particles through matter").
  const double width =
      0.0136 / (beta * particle.momentum) * std::sqrt(thickness) * std::max(0.2, 1 + 0.038 * std::log(thickness));
  const double slope2 = 1 + helix.cot * helix.cot;
  const double turn = width * std::sqrt(slope2) * random.normal();
  helix.turn(std::sin(turn), std::cos(turn));
  helix.cot -= width * slope2 * random.normal();

  // Ionisation: a minimum-ionising particle loses 36 MeV a radiation length of silicon, slower ones about β^(-5/3) of
  // that. Electrons radiate: the energy kept is exp(−Γ(t/ln 2)) (Bethe and Heitler).
  double left = energy - 0.036 * thickness * std::pow(beta, -5. / 3);
  if (particle.electron) left *= std::exp(-random.gamma(thickness / std::numbers::ln2));
  particle.momentum = left > particle.mass ? std::sqrt(left * left - particle.mass * particle.mass) : 0;
  if (particle.momentum > 0) helix.curvature = curvature(particle);
}

void Tracker::measure(const Helix& helix, std::int32_t layer_index, std::int64_t particle_id, Random& random,
                      std::vector<SimulatedHit>& hits) const {
  const DetectorLayer& layer = detector_.layers[layer_index];
  if (random.uniform() >= layer.efficiency) return;
  const int count = overlaps_ && random.uniform() < layer.overlap ? 2 : 1;
  for (int copy = 0; copy < count; ++copy) {
    // The modules stand somewhat inside or outside of the nominal surface: the hit is where the helix meets them.
    const double offset = random.uniform(-layer.spread, layer.spread);
    Helix there = helix;
    if (layer.shape == DetectorLayer::Shape::barrel) {
      const double r = helix.radius();
      const double outward = (helix.x * helix.tx + helix.y * helix.ty) / r;
      const double s = std::abs(outward) > 0.05 ? offset / outward : 0;
      there.advance(s);
    } else {
      there.advance(std::abs(helix.cot) > 0.05 ? offset / helix.cot : 0);
    }
    hits.push_back(hit_at(layer_index, there.radius(), std::atan2(there.y, there.x), there.z, particle_id, random));
    if (copy == 1) ++hits.back().module;
  }
}

SimulatedHit Tracker::hit_at(std::int32_t layer_index, double r, double phi, double z, std::int64_t particle_id,
                             Random& random) const {
  const DetectorLayer& layer = detector_.layers[layer_index];
  const bool barrel = layer.shape == DetectorLayer::Shape::barrel;
  double along = barrel ? z : r;
  const double length = layer.max - layer.min;
  const int ring =
      std::clamp(static_cast<int>((along - layer.min) / length * layer.modules_rz), 0, layer.modules_rz - 1);
  const int sector = std::clamp(static_cast<int>((phi + std::numbers::pi) / (2 * std::numbers::pi) * layer.modules_phi),
                                0, layer.modules_phi - 1);
  if (layer.pitch_rz > 0) {
    along = layer.min + (std::floor((along - layer.min) / layer.pitch_rz) + 0.5) * layer.pitch_rz;
  } else {
    along += layer.resolution_rz * random.normal();
  }
  const double measured_phi = phi + layer.resolution_rphi / r * random.normal();
  if (barrel) {
    z = along;
  } else {
    r = along;
  }
  return {static_cast<float>(r * std::cos(measured_phi)),
          static_cast<float>(r * std::sin(measured_phi)),
          static_cast<float>(z),
          layer_index,
          ring * layer.modules_phi + sector + 1,
          particle_id};
}

SimulatedHit Tracker::noise_hit(std::int32_t layer_index, Random& random) const {
  const DetectorLayer& layer = detector_.layers[layer_index];
  const bool barrel = layer.shape == DetectorLayer::Shape::barrel;
  const double along = random.uniform(layer.min, layer.max);
  const double across = layer.position + random.uniform(-layer.spread, layer.spread);
  const double phi = random.uniform(-std::numbers::pi, std::numbers::pi);
  return hit_at(layer_index, barrel ? across : along, phi, barrel ? along : across, 0, random);
}

}  // namespace starling::simulate
