#pragma once

#include <filesystem>
#include <vector>

#include "starling/metrics.h"

namespace starling::cli {

/// Writes roc.csv, one row per cut, and roc.png, and returns their paths; nothing where no edge was counted. The
/// picture needs gnuplot, a target edge and a fake one.
std::vector<std::filesystem::path> write_roc(const std::filesystem::path& folder, const RocCounts& counts);

/// Makes sure that write_roc() replaces nothing but what it wrote itself. Throws ErrorKind::usage.
void check_roc_places(const std::filesystem::path& folder);

}  // namespace starling::cli
