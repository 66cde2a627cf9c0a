#include "learn/train/settings.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

InteractionNetworkShape read_architecture(Config& config) {
  InteractionNetworkShape architecture;
  std::string norm = to_string(architecture.norm);
  config.get("network.hidden", architecture.hidden, 1, 1024);
  config.get("network.steps", architecture.steps, 1, 64);
  config.get("network.recurrent", architecture.recurrent);
  config.get("network.norm", norm, {"layer", "batch", "none"});
  config.get("network.bias", architecture.bias);
  config.get("network.concat", architecture.concat);
  architecture.norm = parse_norm(norm);
  return architecture;
}

}  // namespace

double TrainingSettings::rate(int epoch) const {
  const double warm = epoch < warmup_epochs ? (epoch + 1.0) / warmup_epochs : 1;
  return std::max(min_learning_rate, learning_rate * warm * std::pow(decay, epoch / decay_epochs));
}

TrainingSettings read_training_settings(Config& config) {
  TrainingSettings settings;
  settings.architecture = read_architecture(config);
  settings.windows = read_window_settings(config);
  settings.simulation = read_simulation_settings(config);
  settings.target = read_target_cuts(config);
  settings.tracks = read_track_cuts(config);

  std::string detector = "../detectors/trackml.toml", output = "runs/training";
  config.get("simulation.detector", detector);
  settings.detector = std::filesystem::path(config.name()).parent_path() / detector;

  constexpr int kMany = 1'000'000'000;
  std::vector<std::string> data;
  config.get("training.output", output);
  config.get("training.data", data);
  settings.output = output;
  settings.data.assign(data.begin(), data.end());
  config.get("training.pileup", settings.pileup, 0, 1e4);
  if (!settings.pileup.empty() && (settings.pileup.size() != 2 || settings.pileup[0] > settings.pileup[1])) {
    throw Error(ErrorKind::usage, config.name() + ": training.pileup: expected [lowest, highest]");
  }
  config.get("training.overlap_fraction", settings.overlap_fraction, 0, 1);
  config.get("training.subset_volumes", settings.subset_volumes, 0, 1e6);
  config.get("training.subset_fraction", settings.subset_fraction, 0, 1);
  if (settings.subset_fraction > 0 && settings.subset_volumes.empty()) {
    throw Error(ErrorKind::usage,
                config.name() + ": training.subset_fraction: expected training.subset_volumes, a list of volume_ids");
  }
  config.get("training.seed", settings.seed);
  config.get("training.epochs", settings.epochs, 1, kMany);
  config.get("training.events_per_epoch", settings.events_per_epoch, 1, kMany);
  config.get("training.validation_events", settings.validation_events, 1, kMany);
  config.get("training.reuse", settings.reuse, 1, 1000);
  config.get("training.reuse_window", settings.reuse_window, 1, 1'000'000);
  config.get("training.learning_rate", settings.learning_rate, 0, 10);
  config.get("training.min_learning_rate", settings.min_learning_rate, 0, 10);
  config.get("training.warmup_epochs", settings.warmup_epochs, 0, kMany);
  config.get("training.decay", settings.decay, 0, 1);
  config.get("training.decay_epochs", settings.decay_epochs, 1, kMany);
  config.get("training.weight_decay", settings.weight_decay, 0, 10);
  config.get("training.amsgrad", settings.amsgrad);
  config.get("training.fake_weight", settings.fake_weight, 0, 1e6);
  config.get("training.target_weight", settings.target_weight, 0, 1e6);
  config.get("training.other_weight", settings.other_weight, 0, 1e6);
  config.get("training.mixed_precision", settings.mixed_precision);
  config.get("training.threads", settings.threads, 1, 1024);
  config.get("training.workers", settings.workers, 0, 1024);
  return settings;
}

}  // namespace starling::learn
