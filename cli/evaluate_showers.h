#pragma once

#include <filesystem>
#include <vector>

#include "event_options.h"
#include "starling/device.h"

namespace starling::cli {

/// What `evaluate` is told of events of calorimeters.
struct ShowerEvaluation {
  std::filesystem::path model;            ///< empty where clusters are read from files
  std::filesystem::path clusters_folder;  ///< empty where the model finds them
  ShowerCutOptions cuts;                  ///< in place of the model's
  Device device = Device::cpu;
  std::filesystem::path out;  ///< empty where not asked for
  double min_visible = 5;     ///< GeV
  bool json = false;
};

/// `starling evaluate` for events of calorimeters: judges the showers that the model finds, or <event>-clusters.csv of
/// a folder.
void evaluate_showers(const std::vector<std::filesystem::path>& prefixes, const EventOptions& events,
                      const ShowerEvaluation& options);

}  // namespace starling::cli
