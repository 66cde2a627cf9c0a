#include <algorithm>
#include <utility>

#include "starling/metrics.h"

namespace starling {

std::vector<std::uint8_t> found_segments(const Segments& segments, const EdgeList& edges) {
  const auto ends = [](std::int32_t a, std::int32_t b) { return std::pair(std::min(a, b), std::max(a, b)); };
  std::vector<std::pair<std::int32_t, std::int32_t>> present;
  present.reserve(edges.src.size());
  for (std::size_t e = 0; e < edges.src.size(); ++e) present.push_back(ends(edges.src[e], edges.dst[e]));
  std::sort(present.begin(), present.end());
  std::vector<std::uint8_t> found(segments.src.size());
  for (std::size_t s = 0; s < found.size(); ++s) {
    found[s] = std::binary_search(present.begin(), present.end(), ends(segments.src[s], segments.dst[s]));
  }
  return found;
}

GraphCounts count_graph(const Event& event, const TruthTable& truth, const EdgeList& edges) {
  GraphCounts counts;
  const Segments segments = true_segments(event);
  const std::vector<std::uint8_t> found = found_segments(segments, edges);
  for (std::size_t s = 0; s < found.size(); ++s) {
    const std::int32_t row = truth.of_hit[segments.src[s]];
    if (row < 0 || !truth.target[row]) continue;
    const Ratio one{found[s], 1};
    counts.segments += one;
    if (truth.radius[row] < kPromptRadius) counts.prompt_segments += one;
  }

  const EdgeTruth labels = edge_truth(edges, truth);
  for (std::size_t e = 0; e < edges.src.size(); ++e) {
    if (!labels.unknown[e]) counts.purity += Ratio{labels.same_particle[e], 1};
  }
  counts.edges = edges.size();
  return counts;
}

GraphCounts& GraphCounts::operator+=(const GraphCounts& other) {
  segments += other.segments;
  prompt_segments += other.prompt_segments;
  purity += other.purity;
  edges += other.edges;
  return *this;
}

}  // namespace starling
