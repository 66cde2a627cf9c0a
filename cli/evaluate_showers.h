#pragma once

#include <filesystem>
#include <vector>

#include "event_options.h"

namespace starling::cli {

struct ShowerEvaluation {
  std::filesystem::path clusters_folder, out;  ///< out: empty where not asked for
  double min_energy = 5;                       ///< GeV
  bool json = false;
};

/// `starling evaluate` for events of calorimeters: judges <event>-clusters.csv of a folder.
void evaluate_showers(const std::vector<std::filesystem::path>& prefixes, const EventOptions& events,
                      const ShowerEvaluation& options);

}  // namespace starling::cli
