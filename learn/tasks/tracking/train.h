#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "learn/train/trainer.h"

namespace starling::learn::tracking {

struct TrainingRequest {
  std::filesystem::path configuration;
  std::vector<std::string> assignments;  ///< "section.key=value", over what the file says
  RunOptions run;
};

/// Reads the configuration, learns the windows, then the network (learn/train/trainer.h). Beside the trainer's files it
/// leaves windows.safetensors in the run's folder.
void train(const TrainingRequest& request);

}  // namespace starling::learn::tracking
