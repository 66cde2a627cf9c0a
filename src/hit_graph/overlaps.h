#pragma once

#include <algorithm>
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

inline OverlapFit fit_overlap(const Point& a, const Point& b) {
  const float dx = b.x - a.x, dy = b.y - a.y, dz = b.z - a.z;
  // sin Δφ = cross / (ra·rb): one radius cancels.
  const float cross = a.x * b.y - a.y * b.x;
  return {std::sqrt(dx * dx + dy * dy + dz * dz), std::fabs(cross) / std::fmax(a.r, b.r)};
}

/// Whether the edge between two hits of a layer starts at `a`: the one nearer to the origin, the smaller index in a
/// tie.
inline bool overlap_starts_at(const Point& a, std::int32_t hit_a, const Point& b, std::int32_t hit_b) {
  const float ra = a.r * a.r + a.z * a.z, rb = b.r * b.r + b.z * b.z;
  return ra != rb ? ra < rb : hit_a < hit_b;
}

/// Calls visit(position of b, fit) for every overlap a → b that passes its layer's window, a at `source`.
template <class Visit>
void for_each_overlap(const HitLayout& layout, const Hits& hits, const Windows::Content& w, std::int32_t source,
                      Visit&& visit) {
  const Point a = layout.points[source];
  const std::int32_t layer_index = layout.layer[source], hit_a = layout.hit[source];
  const float distance = w.overlap_distance[layer_index], rphi = w.overlap_rphi[layer_index];
  if (!(distance > 0.f)) return;
  const auto& layer = layout.layers[layer_index];
  const float place = layer.along_z ? a.z : a.r, margin = distance + 0.01f + 1e-5f * std::fabs(place);
  const int low = layer.long_bin(place - margin), high = layer.long_bin(place + margin);
  // Within `distance` of a, the angle is below asin(distance / ra).
  const float sine = distance / a.r * 1.0001f;
  const float half_phi = sine < 0.7f ? sine * (1.f + 0.25f * sine * sine) + 2e-6f : 3.2f;
  const int first_row = phi_bin(layout.phi[source] - half_phi);
  const int rows = std::min(phi_bin(layout.phi[source] + half_phi) - first_row + 1, HitLayout::kPhiBins);
  for (int k = 0; k < rows; ++k) {
    const int row = (first_row + k) & (HitLayout::kPhiBins - 1);
    const std::int32_t* const bins = layout.bins.data() + layer.first_bin + row * HitLayout::kLongBins;
    for (std::int32_t b = bins[low]; b < bins[high + 1]; ++b) {
      const std::int32_t hit_b = layout.hit[b];
      if (hits.module_id[hit_a] == hits.module_id[hit_b]) continue;
      if (!overlap_starts_at(a, hit_a, layout.points[b], hit_b)) continue;
      const OverlapFit fit = fit_overlap(a, layout.points[b]);
      if (fit.distance <= distance && fit.rphi <= rphi) visit(b, fit);
    }
  }
}

}  // namespace starling
