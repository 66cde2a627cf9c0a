#pragma once

#include <cstdint>
#include <vector>

#include "simulate/helix.h"
#include "simulate/random.h"
#include "starling/detector.h"

namespace starling::simulate {

/// A particle on its way through the detector.
struct Particle {
  Helix helix;
  double momentum = 0;  ///< GeV
  double mass = 0;      ///< GeV
  std::int32_t charge = 0;
  bool electron = false;

  double pt() const { return momentum / std::sqrt(1 + helix.cot * helix.cot); }
};

/// A measured crossing.
struct SimulatedHit {
  float x, y, z;
  std::int32_t layer, module;  ///< index into Detector::layers; module_id
  std::int64_t particle_id;
};

/// Follows particles through the layers of a detector.
class Tracker {
 public:
  Tracker(const Detector& detector, bool overlaps);

  /// Moves the particle until it leaves, stops or has turned by `max_turn` (rad), and appends its hits in the order of
  /// its way; at most `max_hits`. Returns how many.
  int follow(Particle& particle, std::int64_t particle_id, double max_turn, int max_hits, Random& random,
             std::vector<SimulatedHit>& hits) const;

  /// A hit at a uniformly drawn place of the layer.
  SimulatedHit noise_hit(std::int32_t layer, Random& random) const;

  double curvature(const Particle& particle) const;

 private:
  struct Surface {
    double position;     ///< radius or z
    double min, max;     ///< where it is sensitive
    double material;     ///< x/X0
    std::int32_t layer;  ///< −1 = dead material
  };
  void cross_material(Particle& particle, double material, double normal, Random& random) const;
  void measure(const Helix& helix, std::int32_t layer, std::int64_t particle_id, Random& random,
               std::vector<SimulatedHit>& hits) const;
  SimulatedHit hit_at(std::int32_t layer, double r, double phi, double z, std::int64_t particle_id,
                      Random& random) const;

  const Detector& detector_;
  bool overlaps_;
  std::vector<Surface> barrels_, discs_;  ///< ascending
  double max_radius_ = 0, max_z_ = 0;
};

}  // namespace starling::simulate
