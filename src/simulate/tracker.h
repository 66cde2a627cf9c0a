#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "random/random.h"
#include "simulate/helix.h"
#include "starling/detector.h"

namespace starling::simulate {

using random::Random;

/// A particle on its way through the detector.
struct Particle {
  Helix helix;
  double momentum = 0;  ///< GeV
  double mass = 0;      ///< GeV
  std::int32_t charge = 0;
  bool electron = false;

  double slope() const { return std::sqrt(1 + helix.cot * helix.cot); }
  double pt() const { return momentum / slope(); }
};

/// A measured crossing.
struct SimulatedHit {
  float x, y, z;
  std::int32_t layer, module;  ///< index into Detector::layers; module_id
  std::int64_t particle_id;
};

enum class End { left, stopped, interacted };

/// Follows particles through the layers of a detector. The detector must outlive it.
class Tracker {
 public:
  /// Without `overlaps` a crossing leaves one hit at most, though modules of a layer overlap.
  Tracker(const Detector& detector, double max_turn, bool overlaps);
  Tracker(const Tracker&) = delete;

  /// Moves the particle until it leaves, stops, has turned by max_turn (rad) or, a hadron, meets a nucleus, and appends
  /// its hits in the order of its way. A particle without charge leaves none.
  End follow(Particle& particle, std::int64_t particle_id, Random& random, std::vector<SimulatedHit>& hits) const;

  /// A hit at a uniformly drawn place of a layer's modules.
  SimulatedHit noise_hit(std::int32_t layer, Random& random) const;

  std::int32_t modules(std::int32_t layer) const { return first_module_[static_cast<std::size_t>(layer)].back(); }

  /// Whether a place is within the outermost layers.
  bool inside(double r, double z) const { return r < max_radius_ && std::abs(z) < max_z_; }

  /// The field that bends a particle here: T. Its curvature follows from it.
  double bending_field(const Helix& helix) const;
  void bend(Particle& particle, double field) const;

 private:
  struct Surface {
    double position;                ///< radius or z
    double min, max;                ///< extent along z or r
    double radiation, interaction;  ///< thickness in radiation and interaction lengths
    std::int32_t layer;             ///< −1 = passive
  };
  struct Step {
    double s = kNever;
    enum { none, outer, inner, disc } what = none;
  };
  struct AxisField {
    double value, slope, curvature;  ///< T, T/mm, T/mm²
  };
  struct Direction {
    double cosine, sine;
  };
  struct Candidate {
    double s, u, v;  ///< path length to the module and place on it
    std::int32_t ring, module;
  };

  Step next_surface(const Helix& helix, std::size_t gap, std::size_t slot) const;
  void radial_kick(Particle& particle, double s) const;
  bool cross_material(Particle& particle, const Surface& surface, double normal, Random& random) const;
  void measure(const Particle& particle, std::int32_t layer, std::int64_t particle_id, Random& random,
               std::vector<SimulatedHit>& hits) const;
  void barrel_candidates(const Helix& helix, std::int32_t layer, std::vector<Candidate>& found) const;
  void disc_candidates(const Helix& helix, std::int32_t layer, std::vector<Candidate>& found) const;
  SimulatedHit hit_at(std::int32_t layer, const Candidate& place, std::int64_t particle_id, Random& random) const;
  AxisField axis_field(double z) const;

  const Detector& detector_;
  double max_turn_;
  bool overlaps_;
  std::vector<Surface> barrels_, discs_;                   ///< ascending
  std::vector<std::vector<std::int32_t>> first_module_;    ///< per layer and ring; the last entry is the total
  std::map<std::int32_t, std::vector<Direction>> around_;  ///< by number of modules: where each stands
  std::vector<std::vector<const Direction*>> stand_;       ///< per layer and ring: its table in around_
  std::vector<Direction> tilt_;                            ///< per layer
  double max_radius_ = 0, max_z_ = 0;
};

}  // namespace starling::simulate
