#include "simulate/settings.h"

#include <utility>

#include "numbers/numbers.h"
#include "starling/error.h"

namespace starling {
namespace {

// Calls use(key, value, least, most) for every number.
template <class Settings, class Use>
void for_each_number(Settings& settings, const Use& use) {
  use("pileup", settings.pileup, 0, 1000);
  use("vertex_sigma_xy", settings.vertex_sigma_xy, 0, 10);
  use("vertex_sigma_z", settings.vertex_sigma_z, 0, 1000);
  use("max_abs_eta", settings.max_abs_eta, 0, 6);
  use("min_pt", settings.min_pt, 0.05, 100);
  use("particles", settings.particles, 0, 10000);
  use("median_pt", settings.median_pt, 0.06, 1000);
  use("pt_power", settings.pt_power, 2.5, 50);
  use("hard_particles", settings.hard_particles, 0, 10000);
  use("hard_median_pt", settings.hard_median_pt, 0.06, 1000);
  use("hard_pt_power", settings.hard_pt_power, 2.5, 50);
  use("electron_fraction", settings.electron_fraction, 0, 10);
  use("heavy_fraction", settings.heavy_fraction, 0, 1);
  use("hard_heavy_fraction", settings.hard_heavy_fraction, 0, 1);
  use("strange_fraction", settings.strange_fraction, 0, 10);
  use("neutral_fraction", settings.neutral_fraction, 0, 10);
  use("secondaries", settings.secondaries, 0, 10);
  use("max_turn", settings.max_turn, 0, 100);
  use("noise", settings.noise, 0, 100);
}

}  // namespace

SimulationSettings read_simulation_settings(Config& config) {
  SimulationSettings settings;
  for_each_number(settings, [&](const char* key, auto& value, double least, double most) {
    config.get(std::string("simulation.") + key, value, least, most);
  });
  config.get("simulation.overlaps", settings.overlaps);
  config.get("simulation.seed", settings.seed);
  simulate::check_settings(settings, config.name() + ": ");
  return settings;
}

namespace simulate {

void check_settings(const SimulationSettings& settings, const std::string& where) {
  const auto refuse = [&](const char* key, double value, const std::string& expected) {
    throw Error(ErrorKind::usage,
                where + "simulation." + key + " = " + numbers::to_text(value) + ": expected " + expected);
  };
  for_each_number(settings, [&](const char* key, Range value, double least, double most) {
    for (const double end : {value.low, value.high}) {
      if (!(end >= least && end <= most)) refuse(key, end, numbers::range("a number", least, most));
    }
    if (value.low > value.high) refuse(key, value.low, "at most the other end, " + numbers::to_text(value.high));
  });
  for (const auto& [key, median] :
       {std::pair{"median_pt", settings.median_pt}, std::pair{"hard_median_pt", settings.hard_median_pt}}) {
    if (median <= settings.min_pt) refuse(key, median, "more than min_pt = " + numbers::to_text(settings.min_pt));
  }
}

}  // namespace simulate
}  // namespace starling
