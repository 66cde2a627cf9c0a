#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <string>

#include "hit_graph/check.h"
#include "hit_graph/features.h"
#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

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
      const float x = hits.x[i], y = hits.y[i];
      fill_node_features(distance_from_beam(x, y), arithmetic::arctan2(y, x), hits.z[i], scales,
                         features.data() + i * kNodeFeatures);
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
  const float half_turn = scaled_half_turn(scales);
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, 8192), [&](const auto& range) {
    for (std::size_t e = range.begin(); e < range.end(); ++e) {
      const float* const a = nodes.data() + static_cast<std::size_t>(edges.src[e]) * kNodeFeatures;
      const float* const b = nodes.data() + static_cast<std::size_t>(edges.dst[e]) * kNodeFeatures;
      fill_edge_features(a, b, half_turn, features.data() + e * kEdgeFeatures);
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
