#pragma once

#include <cstdint>
#include <filesystem>

#include "learn/train/schedule.h"

namespace starling {
class Config;
}

namespace starling::learn {

/// What any training depends on, whatever its task: part of the section [training] (docs/training.md).
struct TrainerSettings {
  std::filesystem::path output;  ///< the run's folder; relative to the current folder
  std::uint64_t seed = 1;        ///< of the choice among batches and of their augmentation
  int epochs = 100;
  int batch = 1;                      ///< batches per step, shared by the processes; the gradient is the mean of theirs
  int events_per_epoch = 500;         ///< batches; a multiple of `batch`
  int reuse = 1, reuse_window = 256;  ///< steps per new batch; the others take one of this many latest ones
  Schedule schedule;
  double weight_decay = 0.01;
  bool amsgrad = true, mixed_precision = false;
  int threads = 1;  ///< of the step on a CPU; small batches gain nothing from more
  int workers = 0;  ///< threads that make batches; 0 = all processors but one, of each process
  /// The run ends early once the validation loss is flat: largest − least of the last so many epochs at most this part
  /// of their mean. 0 epochs: never.
  int flat_epochs = 0;
  double flat_spread = 0.01;

  int steps_per_epoch() const { return events_per_epoch / batch; }

  /// Both as they are used: no more than there are processors for one of `processes` on this host, for more would only
  /// wait for each other.
  int step_threads(int processes) const;
  int worker_threads(int processes) const;
};

/// Reads the keys; throws ErrorKind::usage.
TrainerSettings read_trainer_settings(Config& config);

}  // namespace starling::learn
