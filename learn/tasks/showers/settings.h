#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "learn/tasks/showers/loss_settings.h"
#include "starling/gravnet.h"
#include "starling/shower_finder.h"
#include "starling/showers.h"

namespace starling {
class Config;
}

namespace starling::learn::showers {

/// One kind of simulated events to train and to be judged on: an entry [[sample]] of the configuration.
struct SampleSettings {
  std::string name;
  double share = 1;        ///< of the events, before the shares are divided by their sum
  ShowerSettings showers;  ///< [showers], with what the sample changes
};

/// What training of a shower finder depends on beside the trainer's own settings; the sections of its configuration
/// (docs/training.md).
struct ShowerTrainingSettings {
  GravNetShape network;  ///< [network]
  bool batch_norm = true;
  ShowerFeatures features;              ///< [features]
  ShowerOutputs outputs;                ///< [outputs]
  ShowerCuts cuts;                      ///< [cuts]: t_beta and t_d are those that validation found best
  LossSettings loss;                    ///< [loss]
  std::filesystem::path detector;       ///< showers.detector; relative paths start at the configuration file
  std::vector<SampleSettings> samples;  ///< one at least
  int batch_hits = 60000;               ///< events are added to a batch until it has this many hits
  int validation_events = 8;            ///< of each sample
  std::uint64_t seed = 1;               ///< initial weights and variations
};

/// Reads every section. Throws ErrorKind::usage.
ShowerTrainingSettings read_shower_training(Config& config);

}  // namespace starling::learn::showers
