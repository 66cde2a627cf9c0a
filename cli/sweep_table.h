#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace starling::cli {

/// What a run of a sweep left.
struct SweepResult {
  std::int64_t parameters = 0, nonzero = 0;  ///< nonzero: parameters that are not 0, or whose code is not
  std::int64_t bytes = 0;                    ///< of the network in the file
  double bops = 0;  ///< per event, of the mean number of nodes and edges of the validation events; NaN for showers
  /// Of the last epoch, in the order of metrics.jsonl: the validation loss, then all that are no counts.
  std::vector<std::pair<std::string, double>> metrics;
  double seconds = 0;  ///< trained
  int epochs = 0;      ///< of the model
};

/// Of the run in this folder; nothing where it has left no model. Throws ErrorKind::input for a damaged model or
/// metrics.jsonl.
std::optional<SweepResult> read_sweep_result(const std::filesystem::path& folder);

struct SweepRow {
  std::string run;
  std::vector<std::string> values;  ///< of the keys, as TOML
  SweepResult result;
};

/// The runs of a sweep that are done, in the order of its points.
class SweepTable {
 public:
  SweepTable(std::vector<std::string> keys, std::vector<SweepRow> rows);

  std::string text() const;  ///< for people

  /// Writes sweep.csv and sweep.jsonl.
  void write(const std::filesystem::path& folder) const;
  /// Draws sweep.png: every metric against every key of several values, parameters and BOPs. False where gnuplot is not
  /// installed.
  bool draw(const std::filesystem::path& folder) const;

  /// Makes sure that write() and draw() replace nothing but what they made. Throws ErrorKind::usage.
  static void check_places(const std::filesystem::path& folder);

 private:
  std::string csv() const;
  std::string json_lines() const;

  std::vector<std::string> keys_;
  std::vector<SweepRow> rows_;
  std::vector<std::string> metrics_;  ///< of all rows
};

}  // namespace starling::cli
