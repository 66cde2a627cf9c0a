#include "hit_graph/check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "starling/error.h"

namespace starling {

void check_finite(const HitsView& hits) {
  for (const auto& [name, column] : {std::pair("x", hits.x), std::pair("y", hits.y), std::pair("z", hits.z)}) {
    // Bits of magnitudes order as the magnitudes do, with infinity and what is not a number above all others. The loop
    // has no early end, so that the compiler takes many hits at once.
    std::int32_t largest = 0;
    for (const float value : column) largest = std::max(largest, std::bit_cast<std::int32_t>(value) & 0x7fffffff);
    if (largest < std::bit_cast<std::int32_t>(std::numeric_limits<float>::infinity())) continue;
    std::size_t hit = 0;
    while (std::isfinite(column[hit])) ++hit;
    throw Error(ErrorKind::input, "hits: " + std::string(name) + " of hit " + std::to_string(hit) + " is " +
                                      std::to_string(column[hit]) + ", expected a finite number");
  }
}

void check_scales(const FeatureScales& scales, const char* caller) {
  for (const auto& [name, scale] : {std::pair("r", scales.r), std::pair("phi", scales.phi), std::pair("z", scales.z),
                                    std::pair("eta", scales.eta)}) {
    if (scale > 0.f && std::isfinite(scale)) continue;
    throw Error(ErrorKind::usage, std::string(caller) + ": scales." + name + " = " + std::to_string(scale) +
                                      ", expected a finite number above 0");
  }
}

}  // namespace starling
