#include "evaluation.h"

#include "report.h"

namespace starling::cli {
namespace {

// The counts of one event's tracks, and its curve: each particle and track is matched once.
TrackCounts count(std::string_view metric, const Event& event, const TruthTable& truth, const Tracks& tracks,
                  Matching matching, int min_track_hits, Curves& curves) {
  const TrackMatches matches = match_tracks(truth, tracks, matching, min_track_hits);
  for (std::int32_t row = 0; row < truth.size(); ++row) {
    if (truth.reconstructable(row)) curves.add(metric, truth, row, matches.best_track[row] >= 0);
  }
  return count_tracks(event, truth, tracks, matches);
}

Tracks bare_components(const EdgeListView& edges, const TrackCuts& cuts) {
  TrackCuts components = cuts;
  components.builder = TrackBuilder::components;
  return build_tracks(edges, std::vector<float>(edges.src.size(), 1.0F), components);
}

}  // namespace

void Evaluation::add_graph(const Event& event, const TruthTable& truth, const EdgeListView& built,
                           const EdgeTruth& labels) {
  const Segments segments = true_segments(event);
  const std::vector<std::uint8_t> found_edges = found_segments(segments, built);
  graph += count_graph(truth, segments, found_edges, labels);
  for (std::size_t s = 0; s < found_edges.size(); ++s) {
    const std::int32_t row = truth.of_hit[segments.src[s]];
    if (row >= 0 && truth.target[row]) curves.add("graph_efficiency", truth, row, found_edges[s]);
  }
}

void Evaluation::add_edges(const Event& event, const TruthTable& truth, const EdgeList& list, const EdgeTruth& labels,
                           std::span<const float> scores, float cut) {
  edges += count_edges(labels, scores, cut);
  roc.add(labels, scores);
  const Hits& hits_of = event.hits;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    if (labels.unknown[e]) continue;
    const std::int32_t src = list.src[e], row = truth.of_hit[src];
    const bool predicted = scores[e] >= cut;
    const auto at_first_hit = [&](std::string_view metric, bool passed) {
      curves.add_at(metric, hits_of.x[src], hits_of.y[src], hits_of.z[src], passed);
    };
    const auto purity = [&](std::string_view metric, bool passed) {
      at_first_hit(metric, passed);
      if (row >= 0) curves.add_at_pt(metric, truth.pt[row], passed);
    };
    purity("graph_purity", labels.same_particle[e]);
    if (labels.target[e]) {
      if (truth.radius[row] < kPromptRadius) edge_efficiency_prompt += Ratio{predicted, 1};
      if (truth.radius[row] >= kPromptRadius) edge_efficiency_displaced += Ratio{predicted, 1};
      curves.add("edge_efficiency", truth, row, predicted);
      at_first_hit("edge_efficiency", predicted);
    }
    if (predicted) {
      purity("edge_total_purity", labels.same_particle[e]);
      purity("edge_target_purity", labels.target[e]);
      if (labels.target[e] || !labels.same_particle[e]) purity("edge_masked_purity", labels.target[e]);
    }
  }
}

void Evaluation::add_tracks(const Event& event, const TruthTable& truth, const Tracks& list, Matching matching,
                            int min_track_hits) {
  tracks += list.size();
  found += count("track_efficiency", event, truth, list, matching, min_track_hits, curves);
}

void Evaluation::add_bare_tracks(const Event& event, const TruthTable& truth, const Tracks& list, Matching matching,
                                 int min_track_hits) {
  bare += count("track_efficiency_bare", event, truth, list, matching, min_track_hits, curves);
}

Evaluation evaluate_event(const Event& event, SessionPool<TrackSession>& sessions, const TrackCuts& cuts,
                          const Judging& judging) {
  const TruthTable truth = truth_table(event, judging.target);
  Evaluation result;
  result.events = 1;
  result.hits = event.hits.size();
  result.skipped_cuts = truth.skipped_cuts;
  Tracks found;
  EdgeList edges;
  std::vector<float> scores;
  {
    const auto session = sessions.take();
    found = session->run(event.hits);
    const TrackSession::Found last = session->found();
    edges = {last.edges.num_nodes,
             {last.edges.src.begin(), last.edges.src.end()},
             {last.edges.dst.begin(), last.edges.dst.end()}};
    scores.assign(last.scores.begin(), last.scores.end());
    result.hits_outside = last.hits_outside;
  }
  const EdgeTruth labels = edge_truth(edges, truth);
  result.hits_on_edges = hits_on_edges(edges);
  result.add_graph(event, truth, edges, labels);
  result.add_edges(event, truth, edges, labels, scores, cuts.score);
  result.add_tracks(event, truth, found, judging.matching, judging.min_track_hits);
  result.add_bare_tracks(event, truth, bare_components(edges, cuts), judging.matching, judging.min_track_hits);
  return result;
}

Evaluation& Evaluation::operator+=(const Evaluation& other) {
  events += other.events;
  hits += other.hits;
  hits_outside += other.hits_outside;
  hits_on_edges += other.hits_on_edges;
  tracks += other.tracks;
  graph += other.graph;
  edges += other.edges;
  roc += other.roc;
  edge_efficiency_prompt += other.edge_efficiency_prompt;
  edge_efficiency_displaced += other.edge_efficiency_displaced;
  found += other.found;
  bare += other.bare;
  curves += other.curves;
  add_missing(skipped_cuts, other.skipped_cuts);
  return *this;
}

}  // namespace starling::cli
