#include <string>
#include <utility>

#include "starling/config.h"
#include "starling/error.h"
#include "starling/simulate.h"

namespace starling {

SimulationSettings read_simulation_settings(Config& config) {
  SimulationSettings settings;
  config.get("simulation.pileup", settings.pileup, 0, 1000);
  config.get("simulation.vertex_sigma_xy", settings.vertex_sigma_xy, 0, 10);
  config.get("simulation.vertex_sigma_z", settings.vertex_sigma_z, 0, 1000);
  config.get("simulation.max_abs_eta", settings.max_abs_eta, 0, 6);
  config.get("simulation.min_pt", settings.min_pt, 0.05, 100);
  config.get("simulation.particles", settings.particles, 0, 10000);
  config.get("simulation.median_pt", settings.median_pt, 0.06, 1000);
  config.get("simulation.pt_power", settings.pt_power, 2.5, 50);
  config.get("simulation.hard_particles", settings.hard_particles, 0, 10000);
  config.get("simulation.hard_median_pt", settings.hard_median_pt, 0.06, 1000);
  config.get("simulation.hard_pt_power", settings.hard_pt_power, 2.5, 50);
  config.get("simulation.electron_fraction", settings.electron_fraction, 0, 10);
  config.get("simulation.heavy_fraction", settings.heavy_fraction, 0, 1);
  config.get("simulation.hard_heavy_fraction", settings.hard_heavy_fraction, 0, 1);
  config.get("simulation.strange_fraction", settings.strange_fraction, 0, 10);
  config.get("simulation.neutral_fraction", settings.neutral_fraction, 0, 10);
  config.get("simulation.secondaries", settings.secondaries, 0, 10);
  config.get("simulation.max_turn", settings.max_turn, 0, 100);
  config.get("simulation.noise", settings.noise, 0, 100);
  config.get("simulation.overlaps", settings.overlaps);
  config.get("simulation.seed", settings.seed);
  for (const auto& [key, median] :
       {std::pair{"median_pt", settings.median_pt}, std::pair{"hard_median_pt", settings.hard_median_pt}}) {
    if (median <= settings.min_pt) {
      throw Error(ErrorKind::usage, config.name() + ": simulation." + key + " = " + std::to_string(median) +
                                        ": expected more than min_pt = " + std::to_string(settings.min_pt));
    }
  }
  return settings;
}

}  // namespace starling
