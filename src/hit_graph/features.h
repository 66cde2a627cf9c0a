#pragma once

#include <cmath>

#include "arithmetic/inverse.h"
#include "hit_graph/geometry.h"
#include "starling/hit_graph.h"

namespace starling {

STARLING_HOST_DEVICE float clamp_to(float value, float most) {
  return value < -most ? -most : (most < value ? most : value);
}

/// The kNodeFeatures of a hit at radius r and angle phi.
STARLING_HOST_DEVICE void fill_node_features(float r, float phi, float z, const FeatureScales& scales, float* row) {
  constexpr float kMaxEta = 10.f;
  // On the beam line itself the pseudorapidity has no bound; a network's input must.
  const float eta =
      r > 0.f ? clamp_to(arithmetic::arsinh(z / r), kMaxEta) : (z > 0.f ? kMaxEta : (z < 0.f ? -kMaxEta : 0.f));
  const float point[4] = {r / scales.r, phi / scales.phi, z / scales.z, eta / scales.eta};
  for (int k = 0; k < kNodeFeatures; ++k) row[k] = point[k % 4];
}

/// Half a turn, in the units that phi has after scaling.
STARLING_HOST_DEVICE float scaled_half_turn(const FeatureScales& scales) {
  return 3.14159265358979323846f / scales.phi;
}

/// The kEdgeFeatures of an edge from a to b, given their node features.
STARLING_HOST_DEVICE void fill_edge_features(const float* a, const float* b, float half_turn, float* row) {
  constexpr float kMaxSlope = 100.f;
  const float dr = b[0] - a[0];
  float dphi = b[1] - a[1];
  if (dphi > half_turn) dphi -= 2.f * half_turn;
  if (dphi < -half_turn) dphi += 2.f * half_turn;
  const float slope = dr != 0.f ? clamp_to(dphi / dr, kMaxSlope) : 0.f;
  row[0] = dr;
  row[1] = dphi;
  row[2] = b[2] - a[2];
  row[3] = b[3] - a[3];
  row[4] = slope;
  row[5] = 0.5f * (a[0] + b[0]) * slope;
}

}  // namespace starling
