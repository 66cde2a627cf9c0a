#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace starling::learn {

/// What a run has left: what the network of its model costs, and how well it does on the events held out.
struct RunResult {
  std::int64_t parameters = 0, nonzero = 0;  ///< nonzero: parameters that are not 0, or whose code is not
  double kept = 1;                           ///< fraction of the weights that are not pruned; in float: that are not 0
  std::int64_t bytes = 0;                    ///< of the network in the file
  /// Per event, of the mean number of nodes and edges of the events held out, as the network gets them; NaN for
  /// showers.
  double macs = 0, bops = 0;
  int epochs = 0;      ///< of the model
  double seconds = 0;  ///< trained
  /// Of the last epoch, in the order of metrics.jsonl: the validation loss, then all that are no counts. NaN: no value.
  std::vector<std::pair<std::string, double>> metrics;

  double metric(std::string_view name) const;  ///< NaN where there is none of this name
};

/// Of the run in this folder; nothing where it has left no model. Throws ErrorKind::input for a damaged model or
/// metrics.jsonl.
std::optional<RunResult> read_run_result(const std::filesystem::path& folder);

}  // namespace starling::learn
