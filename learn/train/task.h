#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "learn/train/batch.h"
#include "learn/train/group.h"
#include "learn/train/monitor.h"
#include "learn/train/record.h"

namespace starling::learn {

/// What a task is told of its run.
struct RunContext {
  std::filesystem::path folder;  ///< the run's: a task may keep files of its own there
  torch::Device device;
  torch::ScalarType type;  ///< of the products in the network: kFloat or kBFloat16
  int workers = 1;         ///< threads that may make batches at a time
  Monitor& monitor;        ///< silent but in the first process of the group
  Group& group;            ///< the processes that share the training

  /// Throws ErrorKind::interrupted once the user asked for a stop: "stopped while <doing>". From any thread.
  void stop_if_interrupted(const std::string& doing) const;
};

/// What is trained, and on what. The trainer (trainer.h) knows steps, rates, threads and files; the task knows what a
/// batch is and what it means.
///
/// A training is a function of its configuration: make_batch, augment, start_epoch, loss and validate depend on their
/// arguments, the network's parameters and its buffers alone, so that a run that was stopped goes on as if it had not
/// been.
class Task {
 public:
  Task() = default;
  Task(const Task&) = delete;
  virtual ~Task() = default;

  /// The network, made with its initial weights by the task's constructor. It has one parameter, which holds all
  /// (flat_parameters.h). Its buffers (masks of a pruned network, ranges of quantisers), in float, are saved with the
  /// run too.
  virtual torch::nn::Module& network() = 0;

  /// Called before anything is written into the run's folder: throws ErrorKind::usage where a file of the task's own
  /// would replace one that no run left there.
  virtual void check_folder(const std::filesystem::path& /*folder*/) const {}

  /// Makes what the first step needs: reads files, learns from them, holds out batches for validation. Called once,
  /// and not at all where the run is complete already. Of several processes the first alone uses the run's folder, and
  /// each holds out its part of the batches. What prepare and validate leave in the task is the same in every process.
  virtual void prepare(const RunContext& run) = 0;

  /// Batch `number` of an endless sequence, on the CPU. Called from several threads, by each within a TBB arena of one
  /// thread.
  virtual Batch make_batch(std::uint64_t number) const = 0;

  /// A batch made earlier as it enters another step: changed by a symmetry of the data that the random bits `draw`
  /// choose. On the run's device.
  virtual Batch augment(const Batch& batch, std::uint64_t draw) const = 0;

  /// Called before the first step of epoch `epoch` (counted from 0): here the network changes between epochs, as where
  /// more weights are masked or a quantiser sets in. What it leaves is in parameters and buffers.
  virtual void start_epoch(int /*epoch*/) {}

  /// Called before the batches of a step go through the network.
  virtual void start_step() {}

  /// The loss of a batch on the run's device, a scalar; undefined where the batch teaches nothing.
  virtual torch::Tensor loss(const Batch& batch) = 0;

  /// Loss and metrics of the batches held out, of all processes together. Called without gradients.
  virtual Validation validate() = 0;

  /// More metrics of the batches held out, of all processes together: those that take too long for every epoch. Called
  /// after the last epoch, without gradients; they stand beside validate()'s.
  virtual Metrics final_metrics() { return {}; }

  /// Names of the validation's metrics that people see: in the lines and the table of a run, and as curves.
  virtual std::vector<std::string> shown_metrics() const = 0;

  /// What of this run, beside the configuration and the metrics, a model's provenance tells: one JSON object.
  virtual std::string provenance() const = 0;

  /// Of the first process. Writes a model file of the network as it stands; `provenance` is JSON.
  virtual void save_model(const std::filesystem::path& file, const std::string& provenance) = 0;
};

}  // namespace starling::learn
