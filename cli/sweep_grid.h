#pragma once

#include <string>
#include <vector>

#include "starling/config.h"

namespace starling::cli {

/// One point of a sweep: a training with other values of some keys.
struct SweepPoint {
  std::string name;                 ///< of its folder: "hidden=16,steps=2"
  std::vector<std::string> values;  ///< as TOML, by SweepGrid::keys; empty where the configuration's own value stands

  /// "network.hidden=16", for the keys that have a value here.
  std::vector<std::string> assignments(const std::vector<std::string>& keys) const;
};

/// The section [sweep] of a configuration (docs/sweep.md): every combination of the values that its lists give to keys,
/// the last key changing fastest, then the points that stand alone, [sweep.points.NAME].
struct SweepGrid {
  std::vector<std::string> keys;  ///< "network.hidden", in the order of the file
  std::vector<SweepPoint> points;
};

/// Throws ErrorKind::usage where the section is absent or names no point, for a list that is empty or holds a value
/// twice, a key that a sweep sets itself, and for more than 10,000 points.
SweepGrid read_sweep_grid(Config& config);

}  // namespace starling::cli
