#pragma once

#include <cstdint>
#include <vector>

#include "hit_graph/geometry.h"
#include "hit_graph/windows.h"

namespace starling {

/// The hits of an event that lie on known layers, sorted by (layer, φ bin, bin in z or r): each layer has a grid over φ
/// and whichever of z and r its hits spread over more. Within a bin coordinates and module decide, so positions do not
/// depend on the order of the hits: only hits that agree in all of these stand in the order of their indices.
struct HitLayout {
  static constexpr int kPhiBins = 256;
  static constexpr int kLongBins = 64;

  struct Layer {
    std::int32_t first = 0, last = 0;  ///< positions of its hits
    std::int32_t first_bin = 0;        ///< index of its grid in `bins`
    float r_min = 0, r_max = 0, z_min = 0, z_max = 0;
    bool along_z = true;  ///< the grid's second axis
    float low = 0, scale = 0;

    int long_bin(float value) const {
      const float bin = (value - low) * scale;
      return bin >= kLongBins - 1 ? kLongBins - 1 : (bin > 0.f ? static_cast<int>(bin) : 0);
    }
  };

  HitLayout(const HitsView& hits, const Windows::Content& windows);

  std::vector<Layer> layers;
  std::vector<std::int32_t> bins;    ///< row splits of the positions by (layer, φ bin, long bin)
  std::vector<Point> points;         ///< by position
  std::vector<float> phi;            ///< by position
  std::vector<std::int32_t> layer;   ///< by position
  std::vector<std::int32_t> module;  ///< by position
  std::vector<std::int32_t> hit;     ///< index of the hit, by position

  std::vector<std::int32_t> layer_of_hit;  ///< by hit, −1 = left out
  std::vector<std::int32_t> outside;       ///< the hits left out, ordered by layer, coordinates and module

  std::int32_t size() const { return static_cast<std::int32_t>(hit.size()); }
};

/// Not wrapped: for an angle in −π..π, between 0 and kPhiBins − 1.
inline int phi_bin(float phi) {
  constexpr float kBinsPerRadian = HitLayout::kPhiBins / 6.28318530717958647692f;
  return static_cast<int>(std::floor((phi + 3.14159265358979323846f) * kBinsPerRadian));
}

}  // namespace starling
