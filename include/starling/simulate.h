#pragma once

#include <cstdint>

#include "starling/config.h"
#include "starling/detector.h"
#include "starling/event.h"

namespace starling {

/// What an event is made of. Lengths in mm, momenta in GeV.
struct SimulationSettings {
  Range pileup = 200;              ///< mean number of soft collisions beside the hard one, which is always there
  double vertex_sigma_xy = 0.015;  ///< spread of the collisions across the beam line
  double vertex_sigma_z = 5.5;     ///< and along it: 5.5 as in TrackML's events, 45 as at the LHC
  double max_abs_eta = 4.0;        ///< directions are drawn up to here
  double min_pt = 0.15;            ///< the softest particles; median_pt and the numbers of particles are those above

  double particles = 32;        ///< mean number of charged hadrons of a soft collision
  double median_pt = 0.47;      ///< of them; with the softer secondaries it is 0.41 among all that leave hits
  double pt_power = 7;          ///< n of their spectrum pt (1 + pt/p0)^-n
  double hard_particles = 160;  ///< mean number of charged hadrons of the hard collision
  double hard_median_pt = 0.8;
  double hard_pt_power = 3.4;

  double electron_fraction = 0.003;  ///< electrons for each charged hadron
  double heavy_fraction = 0.01;      ///< of the charged hadrons of soft collisions, those from charm and beauty
  double hard_heavy_fraction = 0.2;  ///< the same of the hard collision
  double strange_fraction = 0.10;    ///< K0s and Lambda for each charged hadron: they decay off the beam line
  double neutral_fraction = 0.20;    ///< neutrons and K0L for each charged hadron: they are seen where they interact
  double secondaries = 1.5;          ///< mean number of charged secondaries of a nuclear interaction

  double max_turn = 2.5;  ///< rad: a particle is followed until its direction has turned by this
  double noise = 1;       ///< scales the detector's noise
  bool overlaps = true;   ///< a hit in each module that a crossing meets; else in that of smallest module_id only
  std::uint64_t seed = 1;
};

/// Reads the section [simulation] of a configuration: a key for each setting, of the same name.
SimulationSettings read_simulation_settings(Config& config);

/// One event with full truth: hits, truth and particles (with particle_type, and primary = 0 for those from nuclear
/// interactions). Random numbers are counter-based, keyed by (seed, event_number, particle): the same bytes whatever
/// runs beside it. Single-threaded; call from several threads at will. Throws ErrorKind::usage for a detector without
/// layers and for a setting outside the range that read_simulation_settings asks for, naming key and value.
Event simulate_event(const Detector& detector, const SimulationSettings& settings, std::uint64_t event_number);

}  // namespace starling
