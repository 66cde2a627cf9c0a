#include "metrics/check.h"
#include "starling/metrics.h"

namespace starling {

EdgeTruth edge_truth(const EdgeListView& edges, const TruthTable& truth) {
  edges.check("edge_truth");
  check_table(truth, edges.num_nodes, "edge_truth");
  const std::size_t count = edges.src.size();
  EdgeTruth labels;
  labels.same_particle.resize(count);
  labels.target.resize(count);
  labels.unknown.resize(count);
  for (std::size_t e = 0; e < count; ++e) {
    const std::int32_t src = truth.of_hit[edges.src[e]], dst = truth.of_hit[edges.dst[e]];
    const bool same = src >= 0 && src == dst;
    labels.same_particle[e] = same;
    labels.target[e] = same && truth.target[src];
    labels.unknown[e] = src == -2 || dst == -2;
  }
  return labels;
}

EdgeCounts count_edges(const EdgeTruth& truth, std::span<const float> scores, float cut) {
  check_labels(truth, scores.size(), "count_edges");
  EdgeCounts counts;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    if (truth.unknown[e]) continue;
    const bool predicted = scores[e] >= cut;
    counts.target += truth.target[e] != 0;
    counts.predicted += predicted;
    counts.predicted_target += predicted && truth.target[e];
    counts.predicted_same_particle += predicted && truth.same_particle[e];
  }
  return counts;
}

Ratio EdgeCounts::efficiency() const { return {predicted_target, target}; }
Ratio EdgeCounts::total_purity() const { return {predicted_same_particle, predicted}; }
Ratio EdgeCounts::target_purity() const { return {predicted_target, predicted}; }
Ratio EdgeCounts::masked_purity() const {
  return {predicted_target, predicted - (predicted_same_particle - predicted_target)};
}

EdgeCounts& EdgeCounts::operator+=(const EdgeCounts& other) {
  target += other.target;
  predicted += other.predicted;
  predicted_target += other.predicted_target;
  predicted_same_particle += other.predicted_same_particle;
  return *this;
}

}  // namespace starling
