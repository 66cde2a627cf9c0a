#pragma once

#include <string>

#include "learn/train/group.h"
#include "learn/train/run_options.h"
#include "learn/train/settings.h"
#include "learn/train/task.h"
#include "starling/device.h"

namespace starling::learn {

/// The device of this process: of several processes on one host, each takes the GPU of its local rank, which becomes
/// the current one. Throws ErrorKind::device for a device that is not there.
torch::Device find_device(Device device, const Processes& processes);

/// Trains the network of `task` and leaves in the run's folder: config.toml (`configuration`, resolved),
/// checkpoint.safetensors, metrics.jsonl (one line per epoch) and, after each epoch, model.safetensors. The metrics of
/// the last epoch go to stdout. Once the monitor is interrupted, the run is saved after the step at hand and
/// Error(interrupted) thrown; with `resume` it goes on from there, and on a CPU ends with the same bytes, whatever the
/// number of workers. With 0 epochs the network is validated as it begins, and its model and a checkpoint written.
///
/// Where the group has several processes, each calls this with a task of its own of the same configuration, in its
/// Group::run. The batches of each step and those held out are shared between them; the first process alone uses the
/// folder and writes to stdout. The run is that of one process to the rounding of sums, and goes on with another number
/// of processes.
///
/// Throws ErrorKind::usage where there is no monitor, where the folder holds a run and `resume` is not set, where the
/// configuration is not that of the checkpoint or of the other processes, where there are more processes than batches
/// per step, and where the loss is not finite; and what Group throws.
void train(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options,
           Group& group);

}  // namespace starling::learn
