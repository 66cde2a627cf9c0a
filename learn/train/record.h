#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace starling::learn {

using Metrics = std::vector<std::pair<std::string, std::variant<double, std::int64_t>>>;  ///< NaN: has no value

/// How well a network does on the batches held out.
struct Validation {
  double loss = 0;
  Metrics metrics;
};

/// What is known of an epoch when it ends.
struct EpochRecord {
  int epoch = 0;  ///< counted from 1
  double learning_rate = 0, training_loss = 0;
  Validation validation;
  double seconds = 0;  ///< trained so far
  double events_per_second = 0;
};

/// One line of metrics.jsonl, without its end.
std::string to_json(const EpochRecord& record);

/// How a run went so far, one entry per epoch; NaN where a value does not exist.
struct TrainingCurves {
  std::vector<double> epoch, training_loss, validation_loss;
  std::vector<std::pair<std::string, std::vector<double>>> metrics;  ///< those that the task shows
};

/// The lines of metrics.jsonl as columns.
TrainingCurves curves(const std::string& metrics, const std::vector<std::string>& shown);

/// Whether the validation loss is flat over the last `epochs` of these lines: largest − least at most `spread` times
/// their mean. Fewer lines are not, and neither are losses that are not finite.
bool is_flat(const std::string& metrics, int epochs, double spread);

/// What a model's provenance holds.
struct Provenance {
  std::string device;  ///< "cuda, bfloat16"
  std::uint64_t seed = 1;
  int steps_per_epoch = 0;
  std::string task;           ///< the task's own entries, a JSON object
  std::string configuration;  ///< resolved
  std::string metrics;        ///< lines of metrics.jsonl, one at least
};

/// As JSON: versions, configuration, seed, the task's entries, the metrics of the last epoch and, beside them, of the
/// one with the least validation loss. Free of times and of the place of the run, so that the same training gives the
/// same bytes.
std::string to_json(const Provenance& provenance);

/// The table for people of the last epoch and the one with the least validation loss.
std::string summary(const std::string& metrics, const std::vector<std::string>& shown);

/// "target_purity" as people read it: "target purity".
std::string title(const std::string& metric);

}  // namespace starling::learn
