#pragma once

#include "showers/deposits.h"

namespace starling::showers {

enum class Shower { photon, electron };

/// Leaves what an electromagnetic shower along `line`, of a particle of `energy` GeV at `depth`, deposits. An
/// electron's begins there, a photon's where it converts.
void electromagnetic_shower(const ShowerDetector& detector, const Line& line, Depth depth, double energy, Shower kind,
                            Random& random, Deposits& deposits);

/// P(a, x), the regularised lower incomplete gamma function; a > 0, x >= 0.
double gamma_below(double a, double x);

}  // namespace starling::showers
