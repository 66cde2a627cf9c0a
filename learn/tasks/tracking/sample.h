#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "learn/tasks/tracking/settings.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/metrics.h"

namespace starling::learn::tracking {

/// One labelled graph in plain arrays.
struct Sample {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;               ///< [E]
  std::vector<float> node_features, edge_features;  ///< [num_nodes, 12], [E, 6]
  std::vector<float> labels, weights;  ///< [E]; label 1 = both hits of one particle, weight 0 where an end is unknown
  EdgeTruth truth;
  GraphCounts counts;  ///< of the graph, where they were asked for
  std::vector<std::string> skipped_cuts;
};

/// Builds the hit graph of an event with truth and labels its edges. Nodes without edges are left out unless the
/// network's normalisation counts them (batch normalisation), since they change no logit. Throws ErrorKind::input,
/// naming the event, for one without truth and for one that is too dense for its windows.
/// `counted` asks for Sample::counts, which a training step does not need.
Sample make_sample(const Event& event, const Windows& windows, const FeatureScales& scales,
                   const TrackingSettings& settings, bool counted = false);

/// Whether graphs have their nodes without edges.
bool keeps_isolated(const TrackingSettings& settings);

/// Leaves out the nodes that no edge touches; edges and the order of nodes stay.
void drop_isolated_nodes(Sample& sample);

}  // namespace starling::learn::tracking
