#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "curves.h"
#include "session_pool.h"
#include "starling/event.h"
#include "starling/graph.h"
#include "starling/metrics.h"
#include "starling/tracks.h"

namespace starling::cli {

/// What `evaluate` counts in one event, and its sum over events.
struct Evaluation {
  std::int64_t events = 0, hits = 0, hits_outside = 0, hits_on_edges = 0, tracks = 0;
  GraphCounts graph;
  EdgeCounts edges;
  RocCounts roc;
  Ratio edge_efficiency_prompt, edge_efficiency_displaced;
  TrackCounts found;
  TrackCounts bare;  ///< tracks without the network: the components of the graph
  Curves curves;
  std::vector<std::string> skipped_cuts;

  Evaluation& operator+=(const Evaluation& other);

  // Each adds one part of an event to the counts; `labels` are those of the graph's edges.
  void add_graph(const Event& event, const TruthTable& truth, const EdgeListView& graph, const EdgeTruth& labels);
  void add_edges(const Event& event, const TruthTable& truth, const EdgeList& edges, const EdgeTruth& labels,
                 std::span<const float> scores, float cut);
  void add_tracks(const Event& event, const TruthTable& truth, const Tracks& tracks, Matching matching,
                  int min_track_hits);
  void add_bare_tracks(const Event& event, const TruthTable& truth, const Tracks& tracks, Matching matching,
                       int min_track_hits);
};

/// How found tracks are judged.
struct Judging {
  TargetCuts target;
  Matching matching = Matching::double_majority;
  int min_track_hits = 3;
};

/// What the sessions of a model find in an event, judged against its truth, and what its graph gives without the
/// network; `cuts` are the sessions'.
Evaluation evaluate_event(const Event& event, SessionPool<TrackSession>& sessions, const TrackCuts& cuts,
                          const Judging& judging);

}  // namespace starling::cli
