#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>

namespace starling::quantized_network {

/// One product instead of a product and a quotient: a factor for which form(code, factor) is codes[code]. Rounding may
/// let a code differ, so all are tried; none where no factor near `middle`, the quotient of the scales, has them all.
template <typename Form>
std::optional<float> one_factor(std::span<const std::int32_t> codes, float middle, const Form& form) {
  for (int ulps = 0; ulps <= 16; ++ulps) {
    float factor = middle;
    for (int i = 0; i < (ulps + 1) / 2; ++i) factor = std::nextafter(factor, ulps % 2 == 0 ? 0.f : INFINITY);
    std::size_t code = 0;
    while (code < codes.size() && form(static_cast<float>(code), factor) == codes[code]) ++code;
    if (code == codes.size()) return factor;
  }
  return std::nullopt;
}

}  // namespace starling::quantized_network
