#include "learn/tasks/tracking/sample.h"

#include <algorithm>
#include <string>
#include <utility>

#include "starling/error.h"

namespace starling::learn::tracking {

Sample make_sample(const Event& event, const Windows& windows, const FeatureScales& scales,
                   const TrackingSettings& settings, bool counted) {
  if (!event.truth) throw Error(ErrorKind::input, event.name + ": training needs truth, and this event has none");
  HitGraph graph;
  try {
    graph = build_hit_graph(event.hits, windows, scales);
  } catch (const Error& error) {
    throw Error(error.kind(), event.name + ": " + error.what());
  }
  TruthTable table = truth_table(event, settings.target);

  Sample sample;
  sample.truth = edge_truth(graph.edges, table);
  if (counted) {
    const Segments segments = true_segments(event);
    sample.counts = count_graph(table, segments, found_segments(segments, graph.edges), sample.truth);
  }
  sample.skipped_cuts = std::move(table.skipped_cuts);
  sample.num_nodes = graph.edges.num_nodes;
  sample.src = std::move(graph.edges.src);
  sample.dst = std::move(graph.edges.dst);
  sample.node_features = std::move(graph.node_features);
  sample.edge_features = std::move(graph.edge_features);

  const std::size_t edges = sample.src.size();
  sample.labels.resize(edges);
  sample.weights.resize(edges);
  for (std::size_t e = 0; e < edges; ++e) {
    const bool same = sample.truth.same_particle[e] != 0;
    sample.labels[e] = same ? 1.f : 0.f;
    sample.weights[e] = sample.truth.unknown[e] != 0  ? 0.f
                        : !same                       ? settings.fake_weight
                        : sample.truth.target[e] != 0 ? settings.target_weight
                                                      : settings.other_weight;
  }
  if (!keeps_isolated(settings)) drop_isolated_nodes(sample);
  return sample;
}

bool keeps_isolated(const TrackingSettings& settings) {
  return settings.network.norm == Norm::batch || settings.keep_isolated;
}

void drop_isolated_nodes(Sample& sample) {
  std::vector<std::int32_t> number(static_cast<std::size_t>(sample.num_nodes), -1);
  for (const std::int32_t node : sample.src) number[static_cast<std::size_t>(node)] = 0;
  for (const std::int32_t node : sample.dst) number[static_cast<std::size_t>(node)] = 0;
  const std::size_t width = sample.num_nodes > 0 ? sample.node_features.size() / number.size() : 0;
  std::int32_t kept = 0;
  for (std::size_t node = 0; node < number.size(); ++node) {
    if (number[node] < 0) continue;
    const auto from = sample.node_features.begin() + static_cast<std::ptrdiff_t>(node * width);
    std::copy_n(from, width, sample.node_features.begin() + static_cast<std::ptrdiff_t>(width) * kept);
    number[node] = kept++;
  }
  sample.num_nodes = kept;
  sample.node_features.resize(static_cast<std::size_t>(kept) * width);
  for (std::int32_t& node : sample.src) node = number[static_cast<std::size_t>(node)];
  for (std::int32_t& node : sample.dst) node = number[static_cast<std::size_t>(node)];
}

}  // namespace starling::learn::tracking
