#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace starling::learn {

/// What a stage of a compression has left: the network of a model file and how well it did on the events held out.
struct StageResult {
  std::string name;  ///< "quantized", "kept-0.6400"
  double kept = 1;   ///< fraction of the weights that are not pruned
  std::int64_t parameters = 0, nonzero = 0;
  std::int64_t bytes = 0;     ///< of the network in the file
  double macs = 0, bops = 0;  ///< per event held out, as the network gets it
  int epochs = 0;
  double seconds = 0;  ///< trained
  // Of the events held out; NaN: no value.
  double loss = 0, efficiency = 0, target_purity = 0, total_purity = 0, masked_purity = 0;
  double track_efficiency = 0, track_fakes = 0;
};

/// Of a stage's folder. Throws ErrorKind::input.
StageResult read_result(const std::string& name, const std::filesystem::path& folder);

/// A JSON line, and a row of the table for people.
std::string to_json(const StageResult& result);
std::string table(const std::vector<StageResult>& results);

}  // namespace starling::learn
