#include "evaluation.h"

#include "report.h"

namespace starling::cli {
namespace {

void add_track_curve(std::string_view metric, const TruthTable& truth, const Tracks& tracks, Matching matching,
                     int min_track_hits, Curves& curves) {
  const std::vector<std::uint8_t> matched = matched_particles(truth, tracks, matching, min_track_hits);
  for (std::int32_t row = 0; row < truth.size(); ++row) {
    if (truth.target[row] && truth.hits[row] >= truth.min_hits) curves.add(metric, truth, row, matched[row]);
  }
}

}  // namespace

void Evaluation::add_graph(const Event& event, const TruthTable& truth, const HitGraph& built) {
  hits_outside += built.hits_outside;
  graph += count_graph(event, truth, built.edges);
  const Segments segments = true_segments(event);
  const std::vector<std::uint8_t> found_edges = found_segments(segments, built.edges);
  for (std::size_t s = 0; s < found_edges.size(); ++s) {
    const std::int32_t row = truth.of_hit[segments.src[s]];
    if (row >= 0 && truth.target[row]) curves.add("graph_efficiency", truth, row, found_edges[s]);
  }
}

void Evaluation::add_edges(const Event& event, const TruthTable& truth, const EdgeList& list,
                           std::span<const float> scores, float cut) {
  const EdgeTruth labels = edge_truth(list, truth);
  edges += count_edges(labels, scores, cut);
  const Hits& hits_of = event.hits;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    if (labels.unknown[e]) continue;
    const std::int32_t src = list.src[e], row = truth.of_hit[src];
    const bool predicted = scores[e] >= cut;
    const auto at_first_hit = [&](std::string_view metric, bool passed) {
      curves.add_at(metric, hits_of.x[src], hits_of.y[src], hits_of.z[src], passed);
    };
    at_first_hit("graph_purity", labels.same_particle[e]);
    if (labels.target[e]) {
      if (truth.radius[row] < kPromptRadius) edge_efficiency_prompt += Ratio{predicted, 1};
      if (truth.radius[row] >= kPromptRadius) edge_efficiency_displaced += Ratio{predicted, 1};
      curves.add("edge_efficiency", truth, row, predicted);
      at_first_hit("edge_efficiency", predicted);
    }
    if (predicted) {
      at_first_hit("edge_total_purity", labels.same_particle[e]);
      at_first_hit("edge_target_purity", labels.target[e]);
      if (labels.target[e] || !labels.same_particle[e]) at_first_hit("edge_masked_purity", labels.target[e]);
    }
  }
}

void Evaluation::add_tracks(const Event& event, const TruthTable& truth, const Tracks& list, Matching matching,
                            int min_track_hits) {
  tracks += list.size();
  found += count_tracks(event, truth, list, matching, min_track_hits);
  add_track_curve("track_efficiency", truth, list, matching, min_track_hits, curves);
}

void Evaluation::add_bare_tracks(const Event& event, const TruthTable& truth, const Tracks& list, Matching matching,
                                 int min_track_hits) {
  bare += count_tracks(event, truth, list, matching, min_track_hits);
  add_track_curve("track_efficiency_bare", truth, list, matching, min_track_hits, curves);
}

Evaluation& Evaluation::operator+=(const Evaluation& other) {
  events += other.events;
  hits += other.hits;
  hits_outside += other.hits_outside;
  tracks += other.tracks;
  graph += other.graph;
  edges += other.edges;
  edge_efficiency_prompt += other.edge_efficiency_prompt;
  edge_efficiency_displaced += other.edge_efficiency_displaced;
  found += other.found;
  bare += other.bare;
  curves += other.curves;
  add_missing(skipped_cuts, other.skipped_cuts);
  return *this;
}

}  // namespace starling::cli
