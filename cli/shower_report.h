#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "starling/shower_metrics.h"

/// What `evaluate` says of clusters: tables for people, JSON, and curves against energy, eta and density.
namespace starling::cli {

void print_showers(const ShowerMetrics& metrics);

nlohmann::ordered_json to_json(const ShowerMetrics& metrics);

/// Writes showers.csv, response.csv, shower_efficiency.png and shower_response.png and returns the paths of those that
/// were written: no picture without showers or without gnuplot.
std::vector<std::filesystem::path> write_shower_curves(const std::filesystem::path& folder,
                                                       const ShowerMetrics& metrics);

/// Makes sure that write_shower_curves() replaces nothing but what it wrote itself. Throws ErrorKind::usage.
void check_shower_curves_places(const std::filesystem::path& folder);

/// A group of showers that has a row of its own.
struct ShowerGroup {
  std::string name;   ///< in files
  std::string title;  ///< for people
  ShowerSelection selection;
};

/// All showers; those of the hard collision, where there are others; those of each kind, where kinds are known.
std::vector<ShowerGroup> shower_groups(const ShowerMetrics& metrics);

}  // namespace starling::cli
