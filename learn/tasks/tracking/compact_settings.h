#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "learn/nn/quantization.h"

namespace starling {
class Config;
}

namespace starling::learn::tracking {

/// The section [pruning]: what is pruned before the first step (docs/definitions.md, Pruning). Weights that are pruned
/// in the run's start stay so.
struct PruningSettings {
  double kept = 1;           ///< fraction of all weights that stay
  bool two_of_four = false;  ///< also 2:4
  int block = 1;             ///< so many weights of an output that follow each other go together
  /// The least fraction that an MLP or a layer keeps, by name; the longest name that fits counts.
  std::vector<std::pair<std::string, double>> floors;
  std::filesystem::path rewind;  ///< a run's folder or a model: what is kept gets the values from there; empty: stays
};

/// The section [distillation]: docs/definitions.md, Distillation.
struct DistillationSettings {
  std::filesystem::path teacher;  ///< a model file of any width, float or quantised
  double alpha = 0.5, temperature = 2;
};

/// What makes a network compact. Absent sections are absent here.
struct CompactSettings {
  std::optional<QuantizationSettings> quantization;
  std::optional<PruningSettings> pruning;
  std::optional<DistillationSettings> distillation;
};

/// Reads the sections for a network of this shape; relative paths start at the configuration's folder. Throws
/// ErrorKind::usage, also for layers that the network does not have.
CompactSettings read_compact_settings(Config& config, const InteractionNetworkShape& shape);

/// The least fraction of its weights that a layer keeps.
double floor_of(const PruningSettings& settings, const std::string& layer);

}  // namespace starling::learn::tracking
