#pragma once

#include <string>

#include "learn/train/monitor.h"
#include "learn/train/settings.h"
#include "learn/train/task.h"
#include "starling/device.h"

namespace starling::learn {

/// How a run is asked for, beside its configuration.
struct RunOptions {
  Device device = Device::cpu;
  bool resume = false;         ///< go on from the run's checkpoint, where there is one
  Monitor* monitor = nullptr;  ///< must be given
};

/// Trains the network of `task` and leaves in the run's folder: config.toml (`configuration`, resolved),
/// checkpoint.safetensors, metrics.jsonl (one line per epoch) and, after each epoch, model.safetensors. The metrics of
/// the last epoch go to stdout. Once the monitor is interrupted, the run is saved after the step at hand and
/// Error(interrupted) thrown; with `resume` it goes on from there, and on a CPU ends with the same bytes, whatever the
/// number of workers.
///
/// Throws ErrorKind::usage where there is no monitor, where the folder holds a run and `resume` is not set, where the
/// configuration is not that of the checkpoint, and where the loss is not finite; ErrorKind::device for a device that
/// is not there.
void train(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options);

}  // namespace starling::learn
