#include "starling/config.h"
#include "starling/simulate.h"

namespace starling {

SimulationSettings read_simulation_settings(Config& config) {
  SimulationSettings settings;
  config.get("simulation.pileup", settings.pileup, 0, 1000);
  config.get("simulation.vertex_sigma_xy", settings.vertex_sigma_xy, 0, 10);
  config.get("simulation.vertex_sigma_z", settings.vertex_sigma_z, 0, 1000);
  config.get("simulation.particles", settings.particles, 0, 10000);
  config.get("simulation.max_abs_eta", settings.max_abs_eta, 0, 6);
  config.get("simulation.min_pt", settings.min_pt, 0.01, 1000);
  config.get("simulation.median_pt", settings.median_pt, 0.01, 1000);
  config.get("simulation.pt_power", settings.pt_power, 2.5, 50);
  config.get("simulation.displaced_fraction", settings.displaced_fraction, 0, 1);
  config.get("simulation.displaced_radius", settings.displaced_radius, 1, 1e4);
  config.get("simulation.displaced_angle", settings.displaced_angle, 0, 10);
  config.get("simulation.electron_fraction", settings.electron_fraction, 0, 1);
  config.get("simulation.background", settings.background, 0, 10);
  config.get("simulation.overlaps", settings.overlaps);
  config.get("simulation.seed", settings.seed);
  return settings;
}

}  // namespace starling
