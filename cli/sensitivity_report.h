#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sensitivity_trials.h"

namespace starling::cli {

/// What `sensitivity` measured.
struct SensitivityReport {
  Measured in_float, full;  ///< full: 12 bits everywhere
  std::vector<Trial> trials;

  std::string text() const;  ///< for people
  /// Writes sensitivity.csv, and sensitivity.png: the loss that each layer adds. Returns their paths.
  std::vector<std::filesystem::path> write(const std::filesystem::path& folder) const;
  /// Makes sure that write() replaces nothing but what it wrote itself. Throws ErrorKind::usage.
  static void check_places(const std::filesystem::path& folder);

 private:
  std::string csv() const;
  bool draw(const std::filesystem::path& file) const;
};

}  // namespace starling::cli
