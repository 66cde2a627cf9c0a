#pragma once

#include <string>
#include <vector>

#include "learn/tasks/result.h"

namespace starling::learn {

/// What a stage of a compression has left.
struct StageResult {
  std::string name;  ///< "quantized", "kept-0.6400"
  RunResult run;
};

/// A JSON line, and a row of the table for people.
std::string to_json(const StageResult& result);
std::string table(const std::vector<StageResult>& results);

}  // namespace starling::learn
