#include "simulate/tracker.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace starling::simulate {

namespace {

constexpr double kGevPerTeslaMm = 2.99792458e-4;  ///< pt = this · B · radius for charge 1
constexpr double kMinMomentum = 0.05;             ///< GeV: slower particles are taken to stop
constexpr double kMaxSlant = 20;                  ///< longest path through a layer, in thicknesses

}  // namespace

Tracker::Tracker(const Detector& detector, double max_turn, bool overlaps)
    : detector_(detector), max_turn_(max_turn), overlaps_(overlaps) {
  for (const PassiveCylinder& cylinder : detector.cylinders) {
    barrels_.push_back({cylinder.radius, -cylinder.half_length, cylinder.half_length, cylinder.radiation_lengths,
                        cylinder.interaction_lengths, -1});
  }
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    const DetectorLayer& layer = detector.layers[i];
    const bool barrel = layer.shape == DetectorLayer::Shape::barrel;
    Surface surface{layer.position,
                    kNever,
                    -kNever,
                    layer.radiation_lengths,
                    layer.interaction_lengths,
                    static_cast<std::int32_t>(i)};
    first_module_.push_back({0});
    tilt_.push_back({std::cos(layer.tilt), std::sin(layer.tilt)});
    stand_.emplace_back();
    for (const ModuleRing& ring : layer.rings) {
      std::vector<Direction>& table = around_[ring.modules];
      for (int k = static_cast<int>(table.size()); k < ring.modules; ++k) {
        const double at = -std::numbers::pi + (2 * k + 1) * std::numbers::pi / ring.modules;
        table.push_back({std::cos(at), std::sin(at)});
      }
      stand_.back().push_back(table.data());
      surface.min = std::min(surface.min, ring.center - ring.half_length);
      // The outer corners of a disc's modules stand further out than its middle line.
      surface.max = std::max(surface.max, barrel ? ring.center + ring.half_length
                                                 : std::hypot(ring.center + ring.half_length, ring.half_width_high));
      first_module_.back().push_back(first_module_.back().back() + ring.modules);
    }
    constexpr double margin = 10;  // room for modules that stand off the nominal surface
    max_radius_ = std::max(max_radius_, (barrel ? layer.position : surface.max) + margin);
    max_z_ = std::max(max_z_, (barrel ? surface.max : std::abs(layer.position)) + margin);
    (barrel ? barrels_ : discs_).push_back(surface);
  }
  const auto ascending = [](const Surface& a, const Surface& b) { return a.position < b.position; };
  std::stable_sort(barrels_.begin(), barrels_.end(), ascending);
  std::stable_sort(discs_.begin(), discs_.end(), ascending);
}

/// The field on the axis, a thin solenoid's (Jackson, Classical Electrodynamics, problem 5.3), its slope and curvature.
Tracker::AxisField Tracker::axis_field(double z) const {
  const double half = 0.5 * detector_.solenoid_length, radius2 = detector_.solenoid_radius * detector_.solenoid_radius;
  const double front = z - detector_.solenoid_center[2] + half, back = front - 2 * half;
  const double to_front = std::sqrt(front * front + radius2), to_back = std::sqrt(back * back + radius2);
  const double scale = 0.5 * detector_.field * std::sqrt(half * half + radius2) / half;
  const double front3 = 1 / (to_front * to_front * to_front), back3 = 1 / (to_back * to_back * to_back);
  return {scale * (front / to_front - back / to_back), scale * radius2 * (front3 - back3),
          -3 * scale * radius2 * (front * front3 / (to_front * to_front) - back * back3 / (to_back * to_back))};
}

/// Off the axis ∇·B = 0 and ∇×B = 0 give Bz = B − (r²/4) B'' and Br = −(r/2) B', which bends what flies outwards too.
double Tracker::bending_field(const Helix& helix) const {
  if (detector_.solenoid_length <= 0) return detector_.field;
  const AxisField axis = axis_field(helix.z);
  const double x = helix.x - detector_.solenoid_center[0], y = helix.y - detector_.solenoid_center[1];
  return axis.value - 0.25 * (x * x + y * y) * axis.curvature +
         0.5 * axis.slope * helix.cot * (x * helix.tx + y * helix.ty);
}

void Tracker::bend(Particle& particle, double field) const {
  particle.helix.curvature = particle.charge == 0 ? 0 : -kGevPerTeslaMm * field * particle.charge / particle.pt();
}

/// What the radial field does along z over the path length s just gone: dpz/ds = q Br (t × r).
void Tracker::radial_kick(Particle& particle, double s) const {
  Helix& helix = particle.helix;
  const double slope = axis_field(helix.z - 0.5 * s * helix.cot).slope;
  const double across =
      helix.tx * (helix.y - detector_.solenoid_center[1]) - helix.ty * (helix.x - detector_.solenoid_center[0]);
  const double kick = -0.5 * slope * kGevPerTeslaMm * particle.charge * across * s;
  const double along = particle.pt() * helix.cot + kick;
  const double pt2 = particle.momentum * particle.momentum - along * along;
  if (pt2 > 0) helix.cot = along / std::sqrt(pt2);
}

Tracker::Step Tracker::next_surface(const Helix& helix, std::size_t gap, std::size_t slot) const {
  Step step;
  if (gap < barrels_.size()) {
    step.s = helix.to_cylinder(barrels_[gap].position, true);
    if (step.s < kNever) step.what = Step::outer;
  }
  // Only a particle that flies inwards or has turned far meets the cylinder inside of it first.
  if (gap > 0) {
    const double s = helix.to_cylinder(barrels_[gap - 1].position, false);
    if (s < step.s) step = {s, Step::inner};
  }
  const bool forward = helix.cot > 0;
  if (forward ? slot < discs_.size() : slot > 0) {
    const double s = helix.to_plane(discs_[forward ? slot : slot - 1].position);
    if (s < step.s) step = {s, Step::disc};
  }
  return step;
}

End Tracker::follow(Particle& particle, std::int64_t particle_id, Random& random,
                    std::vector<SimulatedHit>& hits) const {
  Helix& helix = particle.helix;
  const double start_radius = helix.radius();
  // The cylinders below `gap` lie inside of the particle, the others outside; the discs likewise along z.
  std::size_t gap = 0, slot = 0;
  while (gap < barrels_.size() && barrels_[gap].position <= start_radius) ++gap;
  while (slot < discs_.size() && discs_[slot].position <= helix.z) ++slot;

  const bool varying = detector_.solenoid_length > 0 && particle.charge != 0;
  double turned = 0;
  for (;;) {
    double field = bending_field(helix);
    bend(particle, field);
    Step step = next_surface(helix, gap, slot);
    if (step.what == Step::none) return End::left;
    if (varying) {
      // The field of the middle of the step stands for all of it.
      Helix middle = helix;
      middle.x += 0.5 * step.s * helix.tx;
      middle.y += 0.5 * step.s * helix.ty;
      middle.z += 0.5 * step.s * helix.cot;
      const double there = inside(0, middle.z) ? bending_field(middle) : field;
      if (std::abs(there - field) > 2e-3 * std::abs(field)) {
        bend(particle, there);
        step = next_surface(helix, gap, slot);
        if (step.what == Step::none) return End::left;
      }
    }
    turned += std::abs(helix.curvature) * step.s;
    if (turned > max_turn_) return End::stopped;
    helix.advance(step.s);
    const double r = helix.radius();
    if (!inside(r, helix.z)) return End::left;
    if (varying) radial_kick(particle, step.s);

    const Surface* surface;
    double along, normal;
    if (step.what == Step::disc) {
      const bool forward = helix.cot > 0;
      surface = &discs_[forward ? slot : slot - 1];
      slot = forward ? slot + 1 : slot - 1;
      along = r;
      normal = std::abs(helix.cot) / particle.slope();
    } else {
      const bool outwards = step.what == Step::outer;
      surface = &barrels_[outwards ? gap : gap - 1];
      gap = outwards ? gap + 1 : gap - 1;
      along = helix.z;
      normal = std::abs(helix.x * helix.tx + helix.y * helix.ty) / (r * particle.slope());
    }
    if (along < surface->min || along > surface->max) continue;
    if (surface->layer >= 0 && particle.charge != 0) measure(particle, surface->layer, particle_id, random, hits);
    if (cross_material(particle, *surface, normal, random)) return End::interacted;
    if (particle.momentum < kMinMomentum) return End::stopped;
  }
}

bool Tracker::cross_material(Particle& particle, const Surface& surface, double normal, Random& random) const {
  Helix& helix = particle.helix;
  const double slant = std::min(kMaxSlant, 1 / std::max(normal, 1e-9));
  if (!particle.electron && surface.interaction > 0 && random.exponential() < surface.interaction * slant) return true;
  if (particle.charge == 0 || surface.radiation <= 0) return false;

  const double thickness = surface.radiation * slant;
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
  // that. Electrons radiate: the part of the energy kept is exp(−Γ(t/ln 2)) (Bethe and Heitler).
  double left = energy - 0.036 * thickness * std::pow(beta, -5. / 3);
  if (particle.electron) left *= std::exp(-random.gamma(thickness / std::numbers::ln2));
  particle.momentum = left > particle.mass ? std::sqrt(left * left - particle.mass * particle.mass) : 0;
  return false;
}

void Tracker::measure(const Particle& particle, std::int32_t layer_index, std::int64_t particle_id, Random& random,
                      std::vector<SimulatedHit>& hits) const {
  const DetectorLayer& layer = detector_.layers[static_cast<std::size_t>(layer_index)];
  thread_local std::vector<Candidate> found;
  found.clear();
  if (layer.shape == DetectorLayer::Shape::barrel) {
    barrel_candidates(particle.helix, layer_index, found);
  } else {
    disc_candidates(particle.helix, layer_index, found);
  }
  // In the order of the way; where one hit is kept, it is the first in the order of the files.
  std::sort(found.begin(), found.end(), [this](const Candidate& a, const Candidate& b) {
    return overlaps_ ? a.s < b.s : std::pair(a.ring, a.module) < std::pair(b.ring, b.module);
  });
  for (const Candidate& candidate : found) {
    if (random.uniform() >= layer.efficiency) continue;
    hits.push_back(hit_at(layer_index, candidate, particle_id, random));
    if (!overlaps_) break;
  }
}

void Tracker::barrel_candidates(const Helix& helix, std::int32_t layer_index, std::vector<Candidate>& found) const {
  const auto at_layer = static_cast<std::size_t>(layer_index);
  const DetectorLayer& layer = detector_.layers[at_layer];
  const double phi = std::atan2(helix.y, helix.x);
  const auto [cos_tilt, sin_tilt] = tilt_[at_layer];
  const double least = std::sqrt((1 + helix.cot * helix.cot) / (1 + layer.max_incidence * layer.max_incidence));
  // Modules stand off the cylinder: the crossing of one may lie in the next ring's range.
  const double reach = std::abs(helix.cot) * 12 + 1;
  for (std::size_t index = 0; index < layer.rings.size(); ++index) {
    const ModuleRing& ring = layer.rings[index];
    if (std::abs(helix.z - ring.center) > ring.half_length + reach) continue;
    const double sector = 2 * std::numbers::pi / ring.modules;
    const int middle = static_cast<int>(std::floor((phi + std::numbers::pi) / sector));
    const int around = ring.modules > 2 ? 1 : 0;
    for (int k = middle - around; k <= middle + around; ++k) {
      const int module = (k + ring.modules) % ring.modules;
      const auto [cosine, sine] = stand_[at_layer][index][module];
      const double radius = layer.position + ring.offset + (module % 2 == 0 ? ring.stagger : -ring.stagger);
      // The module's plane: normal w, direction of its width u.
      const double wx = cosine * cos_tilt - sine * sin_tilt, wy = sine * cos_tilt + cosine * sin_tilt;
      const double dx = helix.x - radius * cosine, dy = helix.y - radius * sine;
      const double distance = dx * wx + dy * wy;
      const double towards = helix.tx * wx + helix.ty * wy;
      if (std::abs(towards) < std::max(0.05, least)) continue;
      // Parabola for the short way to the plane, two steps of Newton's method.
      const double bend = 0.5 * helix.curvature * (helix.tx * wy - helix.ty * wx);
      double s = -distance / towards;
      for (int step = 0; step < 2; ++step) s -= (distance + s * (towards + bend * s)) / (towards + 2 * bend * s);
      const double half = 0.5 * helix.curvature * s * s;
      const double x = dx + s * helix.tx - half * helix.ty, y = dy + s * helix.ty + half * helix.tx;
      const double u = y * wx - x * wy, v = helix.z + s * helix.cot - ring.center;
      if (std::abs(u) > ring.half_width_low || std::abs(v) > ring.half_length) continue;
      found.push_back({s, u, v, static_cast<std::int32_t>(index), module});
    }
  }
}

void Tracker::disc_candidates(const Helix& helix, std::int32_t layer_index, std::vector<Candidate>& found) const {
  const auto at_layer = static_cast<std::size_t>(layer_index);
  const DetectorLayer& layer = detector_.layers[at_layer];
  if (std::abs(helix.cot) < std::max(0.05, 1 / layer.max_incidence)) return;
  const double r = helix.radius(), phi = std::atan2(helix.y, helix.x);
  for (std::size_t index = 0; index < layer.rings.size(); ++index) {
    const ModuleRing& ring = layer.rings[index];
    // Corners stand further out than the middle line; modules stand off the nominal plane.
    const double sagitta = std::hypot(ring.center + ring.half_length, ring.half_width_high) - ring.center;
    const double reach = 10 / std::abs(helix.cot) + 1;
    if (r < ring.center - ring.half_length - reach || r > ring.center + sagitta + reach) continue;
    const double sector = 2 * std::numbers::pi / ring.modules;
    const int middle = static_cast<int>(std::floor((phi + std::numbers::pi) / sector));
    const int around = ring.modules > 2 ? 1 : 0;
    for (int k = middle - around; k <= middle + around; ++k) {
      const int module = (k + ring.modules) % ring.modules;
      const auto [cosine, sine] = stand_[at_layer][index][module];
      const double z = layer.position + ring.offset + (module % 2 == 0 ? ring.stagger : -ring.stagger);
      const double s = (z - helix.z) / helix.cot;
      const double half = 0.5 * helix.curvature * s * s;
      const double x = helix.x + s * helix.tx - half * helix.ty, y = helix.y + s * helix.ty + half * helix.tx;
      const double u = y * cosine - x * sine, v = x * cosine + y * sine - ring.center;
      if (std::abs(v) > ring.half_length) continue;
      const double part = 0.5 * (1 + v / ring.half_length);
      if (std::abs(u) > ring.half_width_low + part * (ring.half_width_high - ring.half_width_low)) continue;
      found.push_back({s, u, v, static_cast<std::int32_t>(index), module});
    }
  }
}

SimulatedHit Tracker::hit_at(std::int32_t layer_index, const Candidate& place, std::int64_t particle_id,
                             Random& random) const {
  const auto at_layer = static_cast<std::size_t>(layer_index);
  const DetectorLayer& layer = detector_.layers[at_layer];
  const ModuleRing& ring = layer.rings[static_cast<std::size_t>(place.ring)];
  const double u = place.u + layer.resolution_rphi * random.normal();
  double v = place.v;
  if (layer.strip_length > 0) {
    const double from_end = v + ring.half_length;
    v = (std::floor(from_end / layer.strip_length) + 0.5) * layer.strip_length - ring.half_length;
  } else {
    v += layer.resolution_rz * random.normal();
  }
  const auto [cosine, sine] = stand_[at_layer][static_cast<std::size_t>(place.ring)][place.module];
  const double off = ring.offset + (place.module % 2 == 0 ? ring.stagger : -ring.stagger);
  double x, y, z;
  if (layer.shape == DetectorLayer::Shape::barrel) {
    const double radius = layer.position + off;
    const auto [cos_tilt, sin_tilt] = tilt_[at_layer];
    x = radius * cosine - u * (sine * cos_tilt + cosine * sin_tilt);
    y = radius * sine + u * (cosine * cos_tilt - sine * sin_tilt);
    z = ring.center + v;
  } else {
    x = (ring.center + v) * cosine - u * sine;
    y = (ring.center + v) * sine + u * cosine;
    z = layer.position + off;
  }
  return {static_cast<float>(x),
          static_cast<float>(y),
          static_cast<float>(z),
          layer_index,
          first_module_[at_layer][static_cast<std::size_t>(place.ring)] + place.module + 1,
          particle_id};
}

SimulatedHit Tracker::noise_hit(std::int32_t layer_index, Random& random) const {
  const auto at_layer = static_cast<std::size_t>(layer_index);
  const std::vector<std::int32_t>& first = first_module_[at_layer];
  const int module = std::min(static_cast<int>(random.uniform() * first.back()), first.back() - 1);
  std::int32_t index = 0;
  while (first[static_cast<std::size_t>(index) + 1] <= module) ++index;
  const ModuleRing& ring = detector_.layers[at_layer].rings[static_cast<std::size_t>(index)];
  const double part = random.uniform();
  const double half_width = ring.half_width_low + part * (ring.half_width_high - ring.half_width_low);
  const Candidate place{0, random.uniform(-half_width, half_width), (2 * part - 1) * ring.half_length, index,
                        module - first[static_cast<std::size_t>(index)]};
  return hit_at(layer_index, place, 0, random);
}

}  // namespace starling::simulate
