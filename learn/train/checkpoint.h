#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "learn/train/adamw.h"

namespace starling::learn {

/// Where a run stands, beside the tensors of its network and optimiser.
struct RunState {
  int epoch = 0, step = 0;    ///< next to do; step = events_per_epoch: the epoch's validation is
  float loss_sum = 0;         ///< over the epoch's steps so far
  double seconds = 0;         ///< trained so far
  std::string metrics;        ///< JSON lines of the epochs done
  std::string configuration;  ///< resolved
};

/// The tensors that a run goes on from, with their names in the checkpoint: the parameter and the buffers of the
/// network and the optimiser's moments.
std::vector<std::pair<std::string, torch::Tensor>> state_tensors(torch::nn::Module& network, const AdamW& optimiser);

/// Saves the run with the parameter and the buffers of `network` and the optimiser's moments.
void save_checkpoint(const std::filesystem::path& file, const RunState& state, torch::nn::Module& network,
                     const AdamW& optimiser);

/// Fills the network and the optimiser. Throws ErrorKind::input for a damaged file, ErrorKind::usage where the
/// checkpoint's configuration is not the same as `configuration` (check_same()).
RunState load_checkpoint(const std::filesystem::path& file, const std::string& configuration,
                         torch::nn::Module& network, AdamW& optimiser);

/// The one parameter of a network; throws ErrorKind::internal where it has another number of them.
torch::Tensor flat_parameter(torch::nn::Module& network);

}  // namespace starling::learn
