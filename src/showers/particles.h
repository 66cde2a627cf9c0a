#pragma once

#include <cstdint>
#include <vector>

#include "random/random.h"
#include "showers/deposits.h"
#include "starling/showers.h"

namespace starling::showers {

/// What a stream of random numbers is for: its high byte.
enum class Purpose : std::uint64_t { event, hard, collision, particle, noise, electronics };

/// The stream of member `member` (< 2^24) of group `group` (< 2^32).
Random stream(const ShowerSettings& settings, std::uint64_t event, Purpose purpose, std::uint64_t group = 0,
              std::uint64_t member = 0);

/// A particle as it enters the calorimeter.
struct Particle {
  Line line;  ///< from its vertex
  double energy;
  std::int32_t pdg;
  bool hard;
  Random random;  ///< its own stream
};

/// The particles of one event: hard ones, then those of each collision of the pile-up.
std::vector<Particle> draw_particles(const ShowerSettings& settings, std::uint64_t event);

}  // namespace starling::showers
