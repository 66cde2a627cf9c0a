#include "hit_graph/layout.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "arithmetic/inverse.h"
#include "hit_graph/check.h"

namespace starling {
namespace {

constexpr std::int32_t kBinsPerLayer = HitLayout::kPhiBins * HitLayout::kLongBins;

struct ByPlace {
  const HitsView& hits;

  PlaceKey key(std::int32_t hit) const {
    const auto i = static_cast<std::size_t>(hit);
    return {std::bit_cast<std::uint32_t>(hits.x[i]),
            std::bit_cast<std::uint32_t>(hits.y[i]),
            std::bit_cast<std::uint32_t>(hits.z[i]),
            hits.volume_id[i],
            hits.layer_id[i],
            hits.module_id[i],
            hit};
  }
  bool operator()(std::int32_t a, std::int32_t b) const { return comes_before(key(a), key(b)); }
};

}  // namespace

HitLayout::HitLayout(const HitsView& hits, const Windows::Content& windows) {
  hits.check();
  check_finite(hits);
  const auto n = static_cast<std::size_t>(hits.size());
  layers.resize(static_cast<std::size_t>(windows.layers()));
  for (std::size_t l = 0; l < layers.size(); ++l) {
    auto& grid = layers[l];
    grid.first_bin = static_cast<std::int32_t>(l) * kBinsPerLayer;
    grid.r_min = grid.z_min = std::numeric_limits<float>::max();
    grid.r_max = grid.z_max = std::numeric_limits<float>::lowest();
  }

  layer_of_hit.resize(n);
  radius.resize(n);
  angle.resize(n);
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
      angle[i] = arithmetic::arctan2(y, x);
      layer_of_hit[i] = has_place(r, hits.z[i]) ? known : -1;
    }
  });

  for (std::size_t i = 0; i < n; ++i) {
    if (layer_of_hit[i] < 0) {
      outside.push_back(static_cast<std::int32_t>(i));
      continue;
    }
    auto& grid = layers[static_cast<std::size_t>(layer_of_hit[i])];
    grid.r_min = std::min(grid.r_min, radius[i]);
    grid.r_max = std::max(grid.r_max, radius[i]);
    grid.z_min = std::min(grid.z_min, hits.z[i]);
    grid.z_max = std::max(grid.z_max, hits.z[i]);
  }
  for (auto& grid : layers) choose_axis(grid);

  bins.assign(layers.size() * kBinsPerLayer + 1, 0);
  std::vector<std::int32_t> bin_of(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (layer_of_hit[i] < 0) continue;
    const auto& grid = layers[static_cast<std::size_t>(layer_of_hit[i])];
    bin_of[i] = bin_of_hit(grid, angle[i], radius[i], hits.z[i]);
    ++bins[static_cast<std::size_t>(bin_of[i]) + 1];
  }
  for (std::size_t b = 1; b < bins.size(); ++b) bins[b] += bins[b - 1];
  for (auto& grid : layers) {
    grid.first = bins[static_cast<std::size_t>(grid.first_bin)];
    grid.last = bins[static_cast<std::size_t>(grid.first_bin + kBinsPerLayer)];
  }

  const std::size_t count = n - outside.size();
  hit.resize(count);
  std::vector<std::int32_t> next(bins.begin(), bins.end() - 1);
  for (std::size_t i = 0; i < n; ++i) {
    if (layer_of_hit[i] < 0) continue;
    hit[static_cast<std::size_t>(next[static_cast<std::size_t>(bin_of[i])]++)] = static_cast<std::int32_t>(i);
  }
  const auto bin_at = [&](std::size_t at) { return bin_of[static_cast<std::size_t>(hit[at])]; };
  for (std::size_t first = 0, last = 0; first < count; first = last) {
    for (last = first + 1; last < count && bin_at(last) == bin_at(first);) ++last;
    if (last > first + 1) std::sort(hit.begin() + first, hit.begin() + last, ByPlace{hits});
  }
  std::sort(outside.begin(), outside.end(), ByPlace{hits});

  points.resize(count);
  phi.resize(count);
  layer.resize(count);
  module.resize(count);
  for (std::size_t at = 0; at < count; ++at) {
    const auto i = static_cast<std::size_t>(hit[at]);
    points[at] = {hits.x[i], hits.y[i], hits.z[i], radius[i]};
    phi[at] = angle[i];
    layer[at] = layer_of_hit[i];
    module[at] = hits.module_id[i];
  }
}

}  // namespace starling
