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
  };

  HitLayout(const HitsView& hits, const Windows::Content& windows);

  std::vector<Layer> layers;
  std::vector<std::int32_t> bins;    ///< row splits of the positions by (layer, φ bin, long bin)
  std::vector<Point> points;         ///< by position
  std::vector<float> phi;            ///< by position
  std::vector<std::int32_t> layer;   ///< by position
  std::vector<std::int32_t> module;  ///< by position
  std::vector<std::int32_t> hit;     ///< index of the hit, by position

  std::vector<float> radius, angle;        ///< by hit
  std::vector<std::int32_t> layer_of_hit;  ///< by hit, −1 = left out
  std::vector<std::int32_t> outside;       ///< the hits left out, ordered by layer, coordinates and module

  std::int32_t size() const { return static_cast<std::int32_t>(hit.size()); }
};

/// Not wrapped: for an angle in −π..π, between 0 and kPhiBins − 1.
STARLING_HOST_DEVICE int phi_bin(float phi) {
  constexpr float kBinsPerRadian = HitLayout::kPhiBins / 6.28318530717958647692f;
  return static_cast<int>(std::floor((phi + 3.14159265358979323846f) * kBinsPerRadian));
}

/// Along the grid's second axis; values outside go to its first or last bin.
STARLING_HOST_DEVICE int long_bin(const HitLayout::Layer& grid, float value) {
  const float bin = (value - grid.low) * grid.scale;
  return bin >= HitLayout::kLongBins - 1 ? HitLayout::kLongBins - 1 : (bin > 0.f ? static_cast<int>(bin) : 0);
}

/// Whether a hit is on the layer of its detector element: one on the beam line has no direction, and farther out
/// formulas would overflow.
STARLING_HOST_DEVICE bool has_place(float r, float z) {
  constexpr float kFarthest = 1e6f;  // mm
  return r > 0.f && r < kFarthest && std::fabs(z) < kFarthest;
}

/// Chooses the second axis of a grid whose hits' extent is known.
STARLING_HOST_DEVICE void choose_axis(HitLayout::Layer& grid) {
  const float r_spread = grid.r_max - grid.r_min, z_spread = grid.z_max - grid.z_min;
  grid.along_z = !(r_spread > z_spread);
  grid.low = grid.along_z ? grid.z_min : grid.r_min;
  const float spread = greater(r_spread, z_spread);
  grid.scale = spread > 0.f ? HitLayout::kLongBins / spread : 0.f;
}

/// The bin of a hit in its layer's grid.
STARLING_HOST_DEVICE std::int32_t bin_of_hit(const HitLayout::Layer& grid, float angle, float r, float z) {
  const int bin = phi_bin(angle), most = HitLayout::kPhiBins - 1;
  const int row = bin < 0 ? 0 : (bin > most ? most : bin);
  return grid.first_bin + row * HitLayout::kLongBins + long_bin(grid, grid.along_z ? z : r);
}

/// Orders hits by what is known of them but their index, which comes last. Any total order of the coordinates serves:
/// that of their bits needs no rule for zeros and for what is not a number.
struct PlaceKey {
  std::uint32_t x, y, z;
  std::int32_t volume, layer, module, hit;
};

STARLING_HOST_DEVICE bool comes_before(const PlaceKey& a, const PlaceKey& b) {
  if (a.x != b.x) return a.x < b.x;
  if (a.y != b.y) return a.y < b.y;
  if (a.z != b.z) return a.z < b.z;
  if (a.volume != b.volume) return a.volume < b.volume;
  if (a.layer != b.layer) return a.layer < b.layer;
  if (a.module != b.module) return a.module < b.module;
  return a.hit < b.hit;
}

}  // namespace starling
