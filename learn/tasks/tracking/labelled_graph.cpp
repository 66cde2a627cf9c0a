#include "learn/tasks/tracking/labelled_graph.h"

#include <numbers>

#include "starling/error.h"

namespace starling::learn::tracking {

using torch::Tensor;

LabelledGraph to_tensors(const Sample& sample, bool pinned) {
  const auto edges = static_cast<std::int64_t>(sample.src.size());
  const auto width = [](std::size_t values, std::int64_t rows, int otherwise) {
    return rows > 0 ? static_cast<std::int64_t>(values) / rows : otherwise;
  };
  const std::int64_t node_width = width(sample.node_features.size(), sample.num_nodes, kNodeFeatures);
  const std::int64_t edge_width = width(sample.edge_features.size(), edges, kEdgeFeatures);
  return {{to_tensor(sample.node_features, {sample.num_nodes, node_width}, pinned),
           to_tensor(sample.edge_features, {edges, edge_width}, pinned), to_tensor(sample.src, {edges}, pinned),
           to_tensor(sample.dst, {edges}, pinned)},
          to_tensor(sample.labels, {edges}, pinned),
          to_tensor(sample.weights, {edges}, pinned)};
}

Batch to_batch(const LabelledGraph& graph) {
  return {{graph.graph.nodes, graph.graph.edges, graph.graph.src, graph.graph.dst, graph.labels, graph.weights}};
}

LabelledGraph from_batch(const Batch& batch) {
  const std::vector<Tensor>& t = batch.tensors;
  if (t.size() != 6) throw Error(ErrorKind::internal, "a batch of tracking has six tensors");
  return {{t[0], t[1], t[2], t[3]}, t[4], t[5]};
}

LabelledGraph turned(const LabelledGraph& graph, std::uint64_t draw, const FeatureScales& scales) {
  const float phi = (draw & 1) != 0 ? -1.f : 1.f, z = (draw & 2) != 0 ? -1.f : 1.f;
  const double half = std::numbers::pi / scales.phi;  // half a turn in the feature's unit
  const double shift = (static_cast<double>(draw >> 11) * 0x1p-52 - 1) * half;
  LabelledGraph result = graph;
  // Node columns are r, phi, z, eta, three times; edge columns dr, dphi, dz, deta, phislope, rphislope.
  Tensor nodes = graph.graph.nodes.view({-1, 3, 4}).clone(), edges = graph.graph.edges.clone();
  Tensor angle = nodes.select(2, 1);
  angle.mul_(phi).add_(shift);
  angle.sub_(((angle + half) / (2 * half)).floor_().mul_(2 * half));
  nodes.narrow(2, 2, 2).mul_(z);
  edges.select(1, 1).mul_(phi);
  edges.narrow(1, 2, 2).mul_(z);
  edges.narrow(1, 4, 2).mul_(phi);
  result.graph.nodes = nodes.view({-1, 12});
  result.graph.edges = edges;
  return result;
}

}  // namespace starling::learn::tracking
