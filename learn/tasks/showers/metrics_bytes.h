#pragma once

#include <string>
#include <vector>

#include "starling/shower_metrics.h"

namespace starling::learn::showers {

/// Metrics as bytes, for other processes of the same program; and back, in the same order.
std::string to_bytes(const std::vector<ShowerMetrics>& metrics);
std::vector<ShowerMetrics> from_bytes(const std::string& bytes);

}  // namespace starling::learn::showers
