#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace starling::cli {

/// Colours of one lightness around the wheel, 0xTTRRGGBB, TT the transparency; the golden ratio keeps those of
/// consecutive numbers apart.
inline std::uint32_t colour(std::int32_t number, std::uint32_t transparency) {
  const double hue = std::fmod(number * 0.618033988749895, 1.0) * 6;
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue, 6.0);
    const double value = 0.98 - 0.62 * std::clamp(std::min(k, 4 - k), 0.0, 1.0);
    return static_cast<std::uint32_t>(std::lround(255 * value));
  };
  return transparency << 24 | channel(5) << 16 | channel(3) << 8 | channel(1);
}

}  // namespace starling::cli
