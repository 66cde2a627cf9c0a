#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "learn/tasks/result.h"

namespace starling::cli {

struct SweepRow {
  std::string run;
  std::vector<std::string> values;  ///< of the keys, as TOML
  learn::RunResult result;
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

  /// Makes sure that write() and draw() replace nothing but tables of runs in this folder, and pictures that draw()
  /// made. Throws ErrorKind::usage.
  static void check_places(const std::filesystem::path& folder);

 private:
  std::string csv() const;
  std::string json_lines() const;

  std::vector<std::string> keys_;
  std::vector<SweepRow> rows_;
  std::vector<std::string> metrics_;  ///< of all rows
};

}  // namespace starling::cli
