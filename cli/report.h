#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "starling/metrics.h"
#include "starling/tracks.h"

namespace starling::cli {

/// " 99.12 [ 98.98,  99.25]": per cent with the 68 % interval, always as wide; a dash where nothing was counted.
std::string percent(const Ratio& ratio);

/// Adds those of `more` that `all` does not hold yet.
void add_missing(std::vector<std::string>& all, const std::vector<std::string>& more);

/// Prints one line of JSON on stdout. Names that are not UTF-8 get replacement characters.
void print_line(const nlohmann::ordered_json& json);

/// {"value", "low", "high", "passed", "total"}; value null where nothing was counted.
nlohmann::ordered_json to_json(const Ratio& ratio);
nlohmann::ordered_json to_json(const TrackCuts& cuts);

}  // namespace starling::cli
