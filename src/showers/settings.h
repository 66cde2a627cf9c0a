#pragma once

#include <string>

#include "starling/showers.h"

namespace starling::showers {

/// Throws ErrorKind::usage, naming key and value behind `where`, for a number out of its range.
void check_settings(const ShowerSettings& settings, const std::string& where);

/// Throws ErrorKind::usage, naming layer and value, for a detector that no events can be simulated in.
void check_detector(const ShowerDetector& detector);

}  // namespace starling::showers
