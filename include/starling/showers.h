#pragma once

#include <cstdint>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include "starling/calorimeter.h"
#include "starling/config.h"

/// Simulated showers in a sampling calorimeter of two endcaps (docs/showers.md).
namespace starling {

/// The cells of a layer from one radius to the next.
struct CellRegion {
  enum class Shape { hexagon, square };
  double inner_radius = 0;  ///< mm; the region ends where the next begins
  double area = 0;          ///< of a cell, mm²
  Shape shape = Shape::hexagon;
};

/// An absorber and the sensors behind it, in both endcaps.
struct CalorimeterLayer {
  double position = 0;             ///< |z| of the sensors, mm
  double absorber = 0;             ///< |z| that the absorber takes in front of them, mm
  double radiation_lengths = 0;    ///< of the whole layer, at normal incidence
  double interaction_lengths = 0;  ///< the same
  double mip_energy = 0;           ///< GeV that a minimum-ionising particle loses in the layer at normal incidence
  double moliere_radius = 0;       ///< mm
  double inner_radius = 0, outer_radius = 0;  ///< of the sensors, mm
  std::vector<CellRegion> cells;              ///< ascending inner_radius, the first at most that of the layer
};

/// Electromagnetic showers: GFlash (G. Grindhammer and S. Peters, hep-ex/0001020) for a homogeneous medium.
struct ElectromagneticShowers {
  double critical_energy = 0.010;  ///< GeV
  double atomic_number = 60;       ///< effective
  double sampling = 0.20;          ///< σ/E of 1 GeV deposited in layers of `sampling_depth` radiation lengths
  double sampling_depth = 0.95;
};

/// A hadron's cascade: it flies to a nuclear interaction, where secondary hadrons and electromagnetic showers begin.
struct HadronShowers {
  double step = 1.15;   ///< mean way to the interaction, interaction lengths
  int generations = 8;  ///< the particles of the last one deposit what they have where they are
  /// GeV; hadrons below do not interact: charged ones range out, neutral ones are not seen.
  double least_energy = 1;
  double secondaries = 1.5;                          ///< 2 + Poisson(secondaries · ln(E/GeV)) of them
  double share_shape = 0.7;                          ///< of the gamma distribution of their shares of the energy
  double neutral_pions = 0.33;                       ///< of the secondaries
  double charged = 0.50;                             ///< of the secondaries; what is left are neutral hadrons
  double transverse_momentum = 0.26;                 ///< σ of each component, GeV
  double invisible = 0.10, invisible_spread = 0.05;  ///< of the energy: breaks up nuclei
  double nuclear = 0.08;      ///< of the energy: fragments that ionise heavily, at the place of the interaction
  double nuclear_mips = 3;    ///< of one of their deposits
  double nuclear_radius = 7;  ///< σ, mm
  double neutrons = 0.5;      ///< Poisson(neutrons · (E/GeV)^neutron_power) deposits of slow neutrons
  double neutron_power = 0.7;
  double neutron_radius = 70;  ///< σ, mm
  double neutron_delay = 5;    ///< mean, ns
};

/// What is read out of a cell.
struct CalorimeterReadout {
  double threshold = 0.5;       ///< MIP
  double noise = 0.15;          ///< σ of the electronics, MIP
  double noise_hits = 500;      ///< mean number per endcap
  double noise_energy = 0.12;   ///< mean above the threshold, MIP
  double time_window = 25;      ///< ns: noise hits have a time from 0 to this
  double time_constant = 0.02;  ///< σ of a time, ns: this and time_noise / MIPs in quadrature
  double time_noise = 0.3;      ///< ns
};

/// A calorimeter of two equal endcaps.
struct ShowerDetector {
  std::string name;
  std::vector<CalorimeterLayer> layers;  ///< ascending position
  ElectromagneticShowers electromagnetic;
  HadronShowers hadrons;
  CalorimeterReadout readout;
};

/// Reads a calorimeter described in TOML (detectors/hgcal.toml is one). Throws ErrorKind::usage naming line, key and
/// value.
ShowerDetector read_shower_detector(const std::filesystem::path& file);

/// What an event is made of: showers of its hard collision, pile-up and noise. Lengths in mm, energies in GeV.
struct ShowerSettings {
  Range showers = 30;         ///< hard particles that enter the calorimeter
  double grouped = 0.5;       ///< share of them that come in groups
  int group_size = 5;         ///< particles of one group
  double group_spread = 0.1;  ///< σ of eta and phi around the group's middle
  double separation = 0;      ///< least distance in (eta, phi) to every other hard particle that is not in its group
  double min_energy = 1, max_energy = 200;  ///< uniform in log(energy)
  double min_eta = 1.6, max_eta = 2.9;      ///< uniform in |eta|
  double photons = 0.38, electrons = 0.10, charged_hadrons = 0.34, neutral_hadrons = 0.10, muons = 0.08;  ///< shares
  int endcaps = 1;                        ///< 1: at z > 0 only
  double max_abs_phi = std::numbers::pi;  ///< of all particles and noise: a wedge of an event of the same density

  Range pileup = 0;                 ///< mean number of collisions beside the hard one
  double vertex_sigma_z = 45;       ///< spread of the collisions along the beam line
  double vertex_sigma_time = 0.18;  ///< and in time, ns
  double pileup_charged = 10, pileup_photons = 10, pileup_neutral = 2.5;  ///< mean numbers per collision and endcap
  double pileup_min_eta = 1.5, pileup_max_eta = 3;
  double pileup_hadron_pt = 0.27, pileup_photon_pt = 0.18;  ///< scales of their gamma distributions of pt, GeV
  double pileup_tail = 0.02, pileup_tail_power = 4;         ///< share with dN/dpt ∝ pt^-power above 1 GeV

  int min_hits = 3;               ///< of an object, those of which it is the dominant shower
  double min_visible = 0.3;       ///< its visible energy, GeV
  double min_pileup_visible = 1;  ///< the same of one from pile-up
  double noise = 1;               ///< scales the detector's noise hits
  std::uint64_t seed = 1;
};

/// Reads the section [showers] of a configuration: a key for each setting, of the same name.
ShowerSettings read_shower_settings(Config& config);

/// One event with full truth. Hits are cells above the threshold, one per cell, with the layer (from 1) and the time
/// of arrival, ordered by endcap (z > 0 first), layer and cell. Showers are the particles that leave enough
/// (`min_hits`, `min_visible`), hard ones first, with the direction in which they enter the first layer as seen from
/// the origin; what others deposit is noise. A fraction is a shower's share of what was deposited in a cell, before the
/// electronics' noise. Random numbers are counter-based, keyed by (seed, event_number, particle or cell): the same
/// bytes whatever runs beside it. Single-threaded; call from several threads at will. Throws ErrorKind::usage for a
/// detector and a setting outside the ranges that read_shower_detector and read_shower_settings ask for, naming key and
/// value.
CalorimeterEvent simulate_showers(const ShowerDetector& detector, const ShowerSettings& settings,
                                  std::uint64_t event_number);

}  // namespace starling
