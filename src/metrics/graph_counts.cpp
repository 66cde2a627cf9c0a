#include <algorithm>
#include <string>
#include <utility>

#include "metrics/check.h"
#include "starling/error.h"
#include "starling/metrics.h"

namespace starling {
namespace {

void check_segments(const Segments& segments, std::int32_t num_hits, const char* caller) {
  bool fit = segments.src.size() == segments.dst.size() && segments.src.size() == segments.particle_id.size();
  for (const auto* const ends : {&segments.src, &segments.dst}) {
    for (const std::int32_t hit : *ends) fit = fit && hit >= 0 && hit < num_hits;
  }
  if (!fit) {
    throw Error(ErrorKind::usage, std::string(caller) +
                                      ": segments: expected as many src as dst and particle_id, ends among " +
                                      std::to_string(num_hits) + " hits");
  }
}

}  // namespace

std::vector<std::uint8_t> found_segments(const Segments& segments, const EdgeListView& edges) {
  check_segments(segments, edges.num_nodes, "found_segments");
  edges.check("found_segments");
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

GraphCounts count_graph(const TruthTable& truth, const Segments& segments, std::span<const std::uint8_t> found,
                        const EdgeTruth& edges) {
  check_table(truth, static_cast<std::int64_t>(truth.of_hit.size()), "count_graph");
  check_segments(segments, static_cast<std::int32_t>(truth.of_hit.size()), "count_graph");
  check_labels(edges, edges.same_particle.size(), "count_graph");
  if (found.size() != segments.src.size()) {
    throw Error(ErrorKind::usage, "count_graph: found has " + std::to_string(found.size()) + " entries for " +
                                      std::to_string(segments.src.size()) + " segments");
  }
  GraphCounts counts;
  for (std::size_t s = 0; s < found.size(); ++s) {
    const std::int32_t row = truth.of_hit[segments.src[s]];
    if (row < 0 || !truth.target[row]) continue;
    const Ratio one{found[s] != 0, 1};
    counts.segments += one;
    if (truth.radius[row] < kPromptRadius) counts.prompt_segments += one;
  }
  for (std::size_t e = 0; e < edges.same_particle.size(); ++e) {
    if (!edges.unknown[e]) counts.purity += Ratio{edges.same_particle[e] != 0, 1};
  }
  counts.edges = static_cast<std::int64_t>(edges.same_particle.size());
  return counts;
}

GraphCounts count_graph(const Event& event, const TruthTable& truth, const EdgeListView& edges) {
  const Segments segments = true_segments(event);
  return count_graph(truth, segments, found_segments(segments, edges), edge_truth(edges, truth));
}

GraphCounts& GraphCounts::operator+=(const GraphCounts& other) {
  segments += other.segments;
  prompt_segments += other.prompt_segments;
  purity += other.purity;
  edges += other.edges;
  return *this;
}

}  // namespace starling
