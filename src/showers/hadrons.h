#pragma once

#include "showers/deposits.h"

namespace starling::showers {

/// Leaves what a hadron of `energy` GeV at `depth` of `line` deposits: its own track where it has a charge, and what
/// its nuclear interactions make.
void hadron_shower(const ShowerDetector& detector, const Line& line, Depth depth, double energy, bool charged,
                   Random& random, Deposits& deposits);

/// Leaves the track of a muon from the front of the calorimeter to its end.
void muon_track(const ShowerDetector& detector, const Line& line, double energy, Random& random, Deposits& deposits);

}  // namespace starling::showers
