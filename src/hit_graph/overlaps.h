#pragma once

#include <cmath>
#include <cstdint>

#include "hit_graph/geometry.h"
#include "hit_graph/layout.h"
#include "hit_graph/windows.h"

namespace starling {

/// Two hits that one particle may leave in overlapping modules of a layer.
struct OverlapFit {
  float distance;  ///< in space, mm
  float rphi;      ///< across, mm: the angle between the hits times the smaller radius
};

STARLING_HOST_DEVICE OverlapFit fit_overlap(const Point& a, const Point& b) {
  const float dx = b.x - a.x, dy = b.y - a.y, dz = b.z - a.z;
  // sin Δφ = cross / (ra·rb): one radius cancels.
  const float cross = a.x * b.y - a.y * b.x;
  return {std::sqrt(dx * dx + dy * dy + dz * dz), std::fabs(cross) / std::fmax(a.r, b.r)};
}

/// Whether the edge between two hits of a layer starts at the first of them, `a`: the one nearer to the origin, the one
/// that comes first in the layout in a tie.
STARLING_HOST_DEVICE bool overlap_starts_at(const Point& a, std::int32_t position_a, const Point& b,
                                            std::int32_t position_b) {
  const float ra = a.r * a.r + a.z * a.z, rb = b.r * b.r + b.z * b.z;
  return ra != rb ? ra < rb : position_a < position_b;
}

/// An angle, rad, that |Δφ| ≤ π/2 is not above where |sin Δφ| ≤ `sine`.
STARLING_HOST_DEVICE float angle_below(float sine) {
  return sine < 0.7f ? sine * (1.f + 0.25f * sine * sine) * 1.0001f + 2e-6f : 3.2f;
}

/// Where the overlaps of a hit can lie: rows of bins of its layer's grid.
struct OverlapRegion {
  std::int32_t low, high;  ///< the first and the last bin, in the grid's first row
  int first_row, rows;     ///< the rows may wrap
};

/// False where the layer of the hit at `position` has no overlaps.
template <class Layout, class Tables>
STARLING_HOST_DEVICE bool overlap_region(const Layout& layout, const Tables& w, std::int32_t position,
                                         OverlapRegion& region) {
  const Point a = layout.points[position];
  const std::int32_t layer_index = layout.layer[position];
  const float distance = w.overlap_distance[layer_index], rphi = w.overlap_rphi[layer_index];
  if (!(distance > 0.f)) return false;
  const auto& layer = layout.layers[layer_index];
  const float place = layer.along_z ? a.z : a.r, margin = distance + 0.01f + 1e-5f * std::fabs(place);
  region.low = layer.first_bin + long_bin(layer, place - margin);
  region.high = layer.first_bin + long_bin(layer, place + margin);
  // Within `distance` of a, the angle is below asin(distance / ra); across, it is below asin(rphi / smaller radius).
  const float smaller = a.r - distance * 1.0001f - 1e-5f * a.r;
  const float across = smaller > 0.f ? angle_below(rphi / smaller) : 3.2f;
  const float half_phi = lesser(angle_below(distance / a.r), across);
  region.first_row = phi_bin(layout.phi[position] - half_phi);
  const int rows = phi_bin(layout.phi[position] + half_phi) - region.first_row + 1;
  region.rows = rows < HitLayout::kPhiBins ? rows : HitLayout::kPhiBins;
  return true;
}

/// Calls visit(position of b, whether the edge starts at a, fit) for every overlap of a and another hit b, in row
/// `row` of the region, that passes its layer's window; a at `position`.
template <class Layout, class Tables, class Visit>
STARLING_HOST_DEVICE void for_each_overlap_in_row(const Layout& layout, const Tables& w, std::int32_t position,
                                                  const OverlapRegion& region, int row, Visit&& visit) {
  const Point a = layout.points[position];
  const std::int32_t layer_index = layout.layer[position];
  const float distance = w.overlap_distance[layer_index], rphi = w.overlap_rphi[layer_index];
  const std::int32_t bins = ((region.first_row + row) & (HitLayout::kPhiBins - 1)) * HitLayout::kLongBins;
  const std::int32_t end = layout.bins[region.high + bins + 1];
  for (std::int32_t b = layout.bins[region.low + bins]; b < end; ++b) {
    if (layout.module[b] == layout.module[position]) continue;
    const Point& other = layout.points[b];
    const bool starts = overlap_starts_at(a, position, other, b);
    const OverlapFit fit = starts ? fit_overlap(a, other) : fit_overlap(other, a);
    if (fit.distance <= distance && fit.rphi <= rphi) visit(b, starts, fit);
  }
}

/// The same for the whole region.
template <class Layout, class Tables, class Visit>
STARLING_HOST_DEVICE void for_each_overlap(const Layout& layout, const Tables& w, std::int32_t position,
                                           const Visit& visit) {
  OverlapRegion region;
  if (!overlap_region(layout, w, position, region)) return;
  for (int row = 0; row < region.rows; ++row) for_each_overlap_in_row(layout, w, position, region, row, visit);
}

}  // namespace starling
