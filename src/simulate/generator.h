#pragma once

#include <cstdint>
#include <vector>

#include "random/random.h"
#include "simulate/spectrum.h"
#include "simulate/tracker.h"
#include "starling/event.h"
#include "starling/simulate.h"

namespace starling::simulate {

/// What a stream of random numbers is for: its high bits.
enum class Purpose : std::uint64_t { event, collision, particle, secondary, noise };

/// The stream of member `member` (< 2^24) of group `group` (< 2^32).
Random stream(const SimulationSettings& settings, std::uint64_t event, Purpose purpose, std::uint64_t group = 0,
              std::uint64_t member = 0);

/// Makes particles, follows them through the detector and lists what becomes of them.
class Generator {
 public:
  Generator(const SimulationSettings& settings, const Tracker& tracker, std::uint64_t event, Particles& particles,
            std::vector<SimulatedHit>& hits);

  /// Every particle of one collision; the first collision of an event is the hard one.
  void collision(int number);

 private:
  struct Species {
    std::int32_t code;  ///< PDG code of the positive or neutral particle
    std::int32_t charge;
    double mass;          ///< GeV
    double decay_length;  ///< cτ, mm; 0 = does not decay in the detector
    double hardness;      ///< its transverse momenta over those of pions
  };
  struct Vertex {
    double x, y, z;
  };

  /// What the particles of a collision are drawn from.
  struct Source {
    Spectrum spectrum;
    double eta_width;       ///< of the normal density of pseudorapidity
    double heavy_fraction;  ///< of charged hadrons, those from charm and beauty
  };

  void primary(const Vertex& vertex, const Source& source, std::uint64_t collision, std::uint64_t member);
  Species draw_species(Random& random) const;
  void transport(const Species& species, Particle& particle, std::uint64_t stream_id, int generation, bool primary,
                 Random& random);
  void decay(const Species& species, const Particle& parent, std::uint64_t stream_id, Random& random);
  void interact(const Particle& parent, std::uint64_t stream_id, int generation, Random& random);
  void secondary(const Species& species, const Vertex& vertex, const double momentum[3], std::uint64_t parent_stream,
                 std::uint64_t child, int generation, bool primary);

  static const Species kPion, kKaon, kProton, kElectron, kKshort, kLambda, kNeutron, kKlong;

  const SimulationSettings& settings_;
  const Tracker& tracker_;
  std::uint64_t event_;
  Particles& particles_;
  std::vector<SimulatedHit>& hits_;
  Source soft_, hard_;
};

}  // namespace starling::simulate
