#pragma once

#include <string>

#include "starling/simulate.h"

namespace starling::simulate {

/// Throws ErrorKind::usage, naming key and value behind `where`, for a number out of its range.
void check_settings(const SimulationSettings& settings, const std::string& where);

}  // namespace starling::simulate
