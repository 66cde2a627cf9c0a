#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "starling/device.h"

namespace starling::learn {

/// How a run went so far, an entry an epoch; NaN where a value does not exist.
struct TrainingCurves {
  std::vector<double> epoch, training_loss, validation_loss, efficiency, target_purity;
};

struct TrainingRequest {
  std::filesystem::path configuration;
  std::vector<std::string> assignments;  ///< "section.key=value", over what the file says
  Device device = Device::cpu;
  bool resume = false;
  /// Called after each epoch with the curves and the run's folder.
  std::function<void(const TrainingCurves&, const std::filesystem::path&)> draw;
};

/// Learns the windows, then the network, and leaves in the run's folder: windows.safetensors, checkpoint.safetensors,
/// metrics.jsonl (one line an epoch), config.toml (resolved) and, after each epoch, model.safetensors.
/// Progress goes to stderr, the last epoch's metrics to stdout. On SIGINT or SIGTERM the run is saved after the step
/// at hand and Error(interrupted) thrown; with `resume` it goes on from there, and on a CPU ends with the same bytes.
void train(const TrainingRequest& request);

}  // namespace starling::learn
