#include "hit_graph/layout.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace starling {
namespace {

constexpr float kFarthest = 1e6f;  // mm; far from overflow in every formula
constexpr std::int32_t kBinsPerLayer = HitLayout::kPhiBins * HitLayout::kLongBins;

}  // namespace

HitLayout::HitLayout(const Hits& hits, const Windows::Content& windows) {
  const auto n = static_cast<std::size_t>(hits.size());
  layers.resize(static_cast<std::size_t>(windows.layers()));
  for (std::size_t l = 0; l < layers.size(); ++l) {
    auto& grid = layers[l];
    grid.first_bin = static_cast<std::int32_t>(l) * kBinsPerLayer;
    grid.r_min = grid.z_min = std::numeric_limits<float>::max();
    grid.r_max = grid.z_max = std::numeric_limits<float>::lowest();
  }

  std::vector<std::int32_t> layer_of(n);
  std::vector<float> radius(n), angle(n);
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, n, 4096), [&](const auto& range) {
    std::int32_t volume = 0, layer_id = 0, known = -1;
    bool first = true;
    for (std::size_t i = range.begin(); i < range.end(); ++i) {
      if (first || hits.volume_id[i] != volume || hits.layer_id[i] != layer_id) {
        volume = hits.volume_id[i];
        layer_id = hits.layer_id[i];
        known = windows.find_layer(volume, layer_id);
        first = false;
      }
      const float x = hits.x[i], y = hits.y[i];
      const float r = distance_from_beam(x, y);
      radius[i] = r;
      angle[i] = std::atan2(y, x);
      // A hit on the beam line has no direction: on no edge.
      layer_of[i] = r > 0.f && r < kFarthest && std::fabs(hits.z[i]) < kFarthest ? known : -1;
    }
  });

  std::int32_t inside = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (layer_of[i] < 0) continue;
    auto& grid = layers[static_cast<std::size_t>(layer_of[i])];
    grid.r_min = std::min(grid.r_min, radius[i]);
    grid.r_max = std::max(grid.r_max, radius[i]);
    grid.z_min = std::min(grid.z_min, hits.z[i]);
    grid.z_max = std::max(grid.z_max, hits.z[i]);
    ++inside;
  }
  outside = hits.size() - inside;
  for (auto& grid : layers) {
    const float r_spread = grid.r_max - grid.r_min, z_spread = grid.z_max - grid.z_min;
    grid.along_z = !(r_spread > z_spread);
    grid.low = grid.along_z ? grid.z_min : grid.r_min;
    const float spread = std::max(r_spread, z_spread);
    grid.scale = spread > 0.f ? kLongBins / spread : 0.f;
  }

  bins.assign(layers.size() * kBinsPerLayer + 1, 0);
  std::vector<std::int32_t> bin_of(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (layer_of[i] < 0) continue;
    const auto& grid = layers[static_cast<std::size_t>(layer_of[i])];
    const int row = std::clamp(phi_bin(angle[i]), 0, kPhiBins - 1);
    bin_of[i] = grid.first_bin + row * kLongBins + grid.long_bin(grid.along_z ? hits.z[i] : radius[i]);
    ++bins[static_cast<std::size_t>(bin_of[i]) + 1];
  }
  for (std::size_t b = 1; b < bins.size(); ++b) bins[b] += bins[b - 1];
  for (auto& grid : layers) {
    grid.first = bins[static_cast<std::size_t>(grid.first_bin)];
    grid.last = bins[static_cast<std::size_t>(grid.first_bin + kBinsPerLayer)];
  }

  const auto count = static_cast<std::size_t>(inside);
  points.resize(count);
  phi.resize(count);
  layer.resize(count);
  hit.resize(count);
  std::vector<std::int32_t> next(bins.begin(), bins.end() - 1);
  for (std::size_t i = 0; i < n; ++i) {
    if (layer_of[i] < 0) continue;
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(bin_of[i])]++);
    points[at] = {hits.x[i], hits.y[i], hits.z[i], radius[i]};
    phi[at] = angle[i];
    layer[at] = layer_of[i];
    hit[at] = static_cast<std::int32_t>(i);
  }
}

}  // namespace starling
