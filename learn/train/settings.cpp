#include "learn/train/settings.h"

#include <oneapi/tbb/info.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {

double Schedule::rate(int epoch) const {
  const double warm = epoch < warmup_epochs ? (epoch + 1.0) / warmup_epochs : 1;
  return std::max(min_learning_rate, learning_rate * warm * std::pow(decay, epoch / decay_epochs));
}

namespace {

int processors_of(int processes) { return std::max(1, oneapi::tbb::info::default_concurrency() / processes); }

}  // namespace

int TrainerSettings::step_threads(int processes) const { return std::min(threads, processors_of(processes)); }

int TrainerSettings::worker_threads(int processes) const {
  const int processors = processors_of(processes);
  return workers > 0 ? std::min(workers, processors) : std::max(1, processors - 1);
}

TrainerSettings read_trainer_settings(Config& config) {
  constexpr int kMany = 1'000'000'000;
  TrainerSettings settings;
  std::string output = "runs/training";
  config.get("training.output", output);
  settings.output = output;
  config.get("training.seed", settings.seed);
  config.get("training.epochs", settings.epochs, 0, kMany);
  config.get("training.events_per_epoch", settings.events_per_epoch, 1, kMany);
  config.get("training.batch", settings.batch, 1, kMany);
  if (settings.events_per_epoch % settings.batch != 0) {
    throw Error(ErrorKind::usage,
                config.name() + ": training.events_per_epoch = " + std::to_string(settings.events_per_epoch) +
                    ": expected a multiple of the " + std::to_string(settings.batch) + " of training.batch");
  }
  config.get("training.reuse", settings.reuse, 1, 1000);
  config.get("training.reuse_window", settings.reuse_window, 1, 1'000'000);
  config.get("training.learning_rate", settings.schedule.learning_rate, 0, 10);
  config.get("training.min_learning_rate", settings.schedule.min_learning_rate, 0, 10);
  config.get("training.warmup_epochs", settings.schedule.warmup_epochs, 0, kMany);
  config.get("training.decay", settings.schedule.decay, 0, 1);
  config.get("training.decay_epochs", settings.schedule.decay_epochs, 1, kMany);
  config.get("training.weight_decay", settings.weight_decay, 0, 10);
  config.get("training.amsgrad", settings.amsgrad);
  config.get("training.mixed_precision", settings.mixed_precision);
  config.get("training.threads", settings.threads, 1, 1024);
  config.get("training.workers", settings.workers, 0, 1024);
  config.get("training.flat_epochs", settings.flat_epochs, 0, kMany);
  config.get("training.flat_spread", settings.flat_spread, 0, 1);
  return settings;
}

}  // namespace starling::learn
