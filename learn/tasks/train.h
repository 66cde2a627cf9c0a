#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "learn/train/kept_batches.h"
#include "learn/train/run_options.h"

namespace starling::learn {

struct TrainingRequest {
  std::filesystem::path configuration;
  std::vector<std::string> assignments;  ///< "section.key=value", over what the file says
  /// Where this is one run of several: sections of the file that are not for it, and what is set over all else.
  std::vector<std::string> left_out, overrides;
  RunOptions run;
  /// Copies of a request share the batches that come again.
  std::shared_ptr<KeptBatches> kept = std::make_shared<KeptBatches>();
};

/// The assignment of a path to a key, absolute and quoted: "training.output="/runs/1"".
std::string assignment(const std::string& key, const std::filesystem::path& path);

/// The configuration with every key and its value, as a run keeps it. Throws ErrorKind::usage for one that is not
/// right.
std::string resolve(const TrainingRequest& request);

/// Reads the configuration and trains what its network.kind says: "interaction_network", tracking, which is what a
/// configuration without the key means (learn/tasks/tracking), or "gravnet", showers (learn/tasks/showers). Of several
/// processes (learn/train/processes.h) each calls this. Throws ErrorKind::usage for a configuration that is not right.
void train(const TrainingRequest& request);

}  // namespace starling::learn
