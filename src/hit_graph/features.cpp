#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "hit_graph/check.h"
#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

constexpr float kMaxSlope = 100.f;
constexpr float kMaxEta = 10.f;

void check_size(const char* what, std::size_t size, std::size_t rows, int columns) {
  if (size != rows * static_cast<std::size_t>(columns)) {
    throw Error(ErrorKind::usage, std::string(what) + ": " + std::to_string(size) + " features, expected " +
                                      std::to_string(columns) + " for each of " + std::to_string(rows));
  }
}

}  // namespace

void node_features(const HitsView& hits, const FeatureScales& scales, std::span<float> features) {
  check_scales(scales, "node_features");
  hits.check();
  check_finite(hits);
  const auto n = static_cast<std::size_t>(hits.size());
  check_size("node_features", features.size(), n, kNodeFeatures);
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, n, 4096), [&](const auto& range) {
    for (std::size_t i = range.begin(); i < range.end(); ++i) {
      const float x = hits.x[i], y = hits.y[i], z = hits.z[i];
      const auto r = static_cast<float>(std::sqrt(double{x} * x + double{y} * y));
      // On the beam line itself the pseudorapidity has no bound; a network's input must.
      const float eta =
          r > 0.f ? std::clamp(std::asinh(z / r), -kMaxEta, kMaxEta) : (z > 0.f ? kMaxEta : (z < 0.f ? -kMaxEta : 0.f));
      const float point[4] = {r / scales.r, std::atan2(y, x) / scales.phi, z / scales.z, eta / scales.eta};
      float* const row = features.data() + i * kNodeFeatures;
      for (int k = 0; k < kNodeFeatures; ++k) row[k] = point[k % 4];
    }
  });
}

void edge_features(std::span<const float> nodes, const EdgeListView& edges, const FeatureScales& scales,
                   std::span<float> features) {
  check_scales(scales, "edge_features");
  edges.check("edge_features");
  check_size("edge_features: nodes", nodes.size(), static_cast<std::size_t>(edges.num_nodes), kNodeFeatures);
  check_size("edge_features", features.size(), static_cast<std::size_t>(edges.size()), kEdgeFeatures);
  const auto count = static_cast<std::size_t>(edges.size());
  // Half a turn, in the units that phi has after scaling.
  const float half_turn = 3.14159265358979323846f / scales.phi;
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, 8192), [&](const auto& range) {
    for (std::size_t e = range.begin(); e < range.end(); ++e) {
      const float* const a = nodes.data() + static_cast<std::size_t>(edges.src[e]) * kNodeFeatures;
      const float* const b = nodes.data() + static_cast<std::size_t>(edges.dst[e]) * kNodeFeatures;
      const float dr = b[0] - a[0];
      float dphi = b[1] - a[1];
      if (dphi > half_turn) dphi -= 2.f * half_turn;
      if (dphi < -half_turn) dphi += 2.f * half_turn;
      const float slope = dr != 0.f ? std::clamp(dphi / dr, -kMaxSlope, kMaxSlope) : 0.f;
      float* const row = features.data() + e * kEdgeFeatures;
      row[0] = dr;
      row[1] = dphi;
      row[2] = b[2] - a[2];
      row[3] = b[3] - a[3];
      row[4] = slope;
      row[5] = 0.5f * (a[0] + b[0]) * slope;
    }
  });
}

std::vector<float> node_features(const HitsView& hits, const FeatureScales& scales) {
  std::vector<float> features(static_cast<std::size_t>(hits.size()) * kNodeFeatures);
  node_features(hits, scales, features);
  return features;
}

std::vector<float> edge_features(std::span<const float> nodes, const EdgeListView& edges, const FeatureScales& scales) {
  std::vector<float> features(static_cast<std::size_t>(edges.size()) * kEdgeFeatures);
  edge_features(nodes, edges, scales, features);
  return features;
}

}  // namespace starling
