#pragma once

#include <cstdint>

#include "starling/detector.h"
#include "starling/event.h"

namespace starling {

class Config;

/// What an event is made of. Lengths in mm, momenta in GeV.
struct SimulationSettings {
  double pileup = 200;              ///< mean number of collisions beside the first, which is always there
  double vertex_sigma_xy = 0.015;   ///< spread of the collisions across the beam line
  double vertex_sigma_z = 5.5;      ///< and along it: 5.5 as in TrackML's events, 45 as at the LHC
  double particles = 40;            ///< mean number of charged particles of a collision, displaced ones included
  double max_abs_eta = 4.0;         ///< directions are drawn up to here
  double min_pt = 0.1;              ///< softer particles make hits without a label only
  double median_pt = 0.41;          ///< of the prompt particles
  double pt_power = 5.5;            ///< n of the spectrum pt (1 + pt/p0)^-n
  double displaced_fraction = 0.1;  ///< of the particles above 1 GeV, those born off the beam line
  double displaced_radius = 400;    ///< largest production radius; drawn log-uniformly from 1 mm
  double displaced_angle = 0.08;    ///< rad at 1 GeV: mean angle between flight and direction, as 1/pt
  double electron_fraction = 0.03;  ///< of the particles
  double background = 1;            ///< scales the noise_hits and unlabelled_hits of the detector
  bool overlaps = true;             ///< keep the second hits where modules of one layer overlap
  std::uint64_t seed = 1;
};

/// Reads the section [simulation] of a configuration: a key for each setting, of the same name.
SimulationSettings read_simulation_settings(Config& config);

/// One event with full truth: hits, truth and particles (with particle_type and primary). Random numbers are
/// counter-based, keyed by (seed, event_number, particle): the same bytes whatever runs beside it. Single-threaded;
/// call from several threads at will. Throws ErrorKind::usage for a detector without layers.
Event simulate_event(const Detector& detector, const SimulationSettings& settings, std::uint64_t event_number);

}  // namespace starling
