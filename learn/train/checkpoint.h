#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "learn/nn/interaction_network.h"
#include "learn/train/adamw.h"

namespace starling::learn {

/// Where a run stands, beside the tensors of its network and optimiser.
struct Progress {
  int epoch = 0, step = 0;    ///< next to do; step = events_per_epoch: the epoch's validation is
  float loss_sum = 0;         ///< over the epoch's steps so far
  double seconds = 0;         ///< trained so far
  std::string metrics;        ///< JSON lines of the epochs done
  std::string configuration;  ///< resolved
};

void save_checkpoint(const std::filesystem::path& file, const Progress& progress, InteractionNetwork& network,
                     const AdamW& optimiser);

/// Fills the network and the optimiser. Throws ErrorKind::input for a damaged file, ErrorKind::usage where the
/// checkpoint's configuration differs from `configuration` in anything but training.epochs, output and workers.
Progress load_checkpoint(const std::filesystem::path& file, const std::string& configuration,
                         InteractionNetwork& network, AdamW& optimiser);

}  // namespace starling::learn
