#pragma once

#include <string>

#include "learn/train/settings.h"
#include "learn/train/train.h"
#include "starling/metrics.h"

namespace starling::learn {

/// What is known of an epoch when it ends.
struct EpochRecord {
  int epoch = 0;  ///< counted from 1
  double learning_rate = 0, training_loss = 0, validation_loss = 0;
  EdgeCounts edges;    ///< of the validation events, at score 0.5
  double seconds = 0;  ///< trained so far
  double events_per_second = 0;
};

/// One line of metrics.jsonl, without its end.
std::string to_json(const EpochRecord& record);

/// The lines of metrics.jsonl as columns.
TrainingCurves curves(const std::string& metrics);

/// The provenance of a model as JSON: versions, configuration, seed, the graph of the validation events, the metrics of
/// the last epoch and, beside them, of the one with the least validation loss. Free of times and of the place of the
/// run, so that the same training gives the same bytes.
std::string provenance(const TrainingSettings& settings, const std::string& configuration, const std::string& metrics,
                       const GraphCounts& graph, const std::string& device);

/// The table for people of the last epoch and the one with the least validation loss.
std::string summary(const std::string& metrics);

}  // namespace starling::learn
