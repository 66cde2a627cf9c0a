#pragma once

#include <cstdint>

#include "starling/detector.h"
#include "starling/event.h"

namespace starling {

class Config;

/// What an event is made of. Lengths in mm, momenta in GeV.
struct SimulationSettings {
  double pileup = 200;          ///< 200: about 100,000 hits and 10,000 particles in the TrackML detector
  double vertex_sigma_z = 5.5;  ///< 5.5 as in TrackML's events, 45 as at the LHC
  double max_abs_eta = 4.0;
  double median_pt = 0.41;          ///< GeV
  double displaced_fraction = 0.1;  ///< of the particles above 1 GeV, those born off the beam line
  std::uint64_t seed = 1;
  // The settings of the displaced, electron and secondary models follow in the implementation's header comment.
};

/// Reads the section [simulation] of a configuration.
SimulationSettings read_simulation_settings(Config& config);

/// One event with full truth: hits, truth and particles (with particle_type and primary). Random numbers are
/// counter-based, keyed by (seed, event_number, particle): the same bytes whatever runs beside it. Single-threaded;
/// call from several threads at will.
Event simulate_event(const Detector& detector, const SimulationSettings& settings, std::uint64_t event_number);

}  // namespace starling
