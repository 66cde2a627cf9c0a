#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "starling/metrics.h"

namespace starling::cli {

/// " 99.12 [ 98.98,  99.25]": per cent with the 68 % interval, always as wide; a dash where nothing was counted.
std::string percent(const Ratio& ratio);

/// {"value", "low", "high", "passed", "total"}; value null where nothing was counted.
nlohmann::ordered_json to_json(const Ratio& ratio);

}  // namespace starling::cli
