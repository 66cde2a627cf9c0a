#include "learn/train/graph_stream.h"

#include <algorithm>
#include <numbers>
#include <utility>
#include <vector>

#include "learn/train/random.h"

namespace starling::learn {
namespace {

using torch::Tensor;

constexpr std::uint64_t kChoice = 4, kTurn = 5;  // streams of random numbers, after those of Events

template <class Value>
Tensor copied(const std::vector<Value>& values, std::vector<std::int64_t> shape, torch::ScalarType type, bool pinned) {
  const Tensor tensor = torch::empty(shape, torch::dtype(type).pinned_memory(pinned));
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<Value>());
  return tensor;
}

std::uint64_t first_new_graph(std::uint64_t step, std::uint64_t reuse, std::uint64_t window) {
  const std::uint64_t taken = (step + reuse - 1) / reuse;
  return reuse == 1 ? taken : taken - std::min(taken, window);
}

}  // namespace

LabelledGraph LabelledGraph::to(torch::Device device) const {
  const auto moved = [&](const Tensor& tensor) { return tensor.to(device, /*non_blocking=*/true); };
  return {{moved(graph.nodes), moved(graph.edges), moved(graph.src), moved(graph.dst)}, moved(labels), moved(weights)};
}

LabelledGraph to_tensors(const Sample& sample, bool pinned) {
  const auto edges = static_cast<std::int64_t>(sample.src.size());
  const auto width = [](std::size_t values, std::int64_t rows, int otherwise) {
    return rows > 0 ? static_cast<std::int64_t>(values) / rows : otherwise;
  };
  const std::int64_t node_width = width(sample.node_features.size(), sample.num_nodes, kNodeFeatures);
  const std::int64_t edge_width = width(sample.edge_features.size(), edges, kEdgeFeatures);
  return {{copied(sample.node_features, {sample.num_nodes, node_width}, torch::kFloat, pinned),
           copied(sample.edge_features, {edges, edge_width}, torch::kFloat, pinned),
           copied(sample.src, {edges}, torch::kInt, pinned), copied(sample.dst, {edges}, torch::kInt, pinned)},
          copied(sample.labels, {edges}, torch::kFloat, pinned),
          copied(sample.weights, {edges}, torch::kFloat, pinned)};
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

GraphStream::GraphStream(std::function<LabelledGraph(std::uint64_t)> make, const TrainingSettings& settings,
                         const FeatureScales& scales, std::uint64_t first, int workers)
    : step_(first),
      reuse_(static_cast<std::uint64_t>(settings.reuse)),
      window_(static_cast<std::uint64_t>(settings.reuse_window)),
      seed_(settings.seed),
      scales_(scales),
      fresh_(std::move(make), first_new_graph(first, reuse_, window_), workers, 2 * workers) {
  for (std::uint64_t i = first_new_graph(first, reuse_, window_); i < (first + reuse_ - 1) / reuse_; ++i) {
    latest_.push_back(fresh_.next());
  }
}

LabelledGraph GraphStream::next(torch::Device device) {
  const std::uint64_t step = step_++;
  if (step % reuse_ != 0) {
    const LabelledGraph& chosen = latest_[random_bits(seed_, kChoice, step) % latest_.size()];
    return turned(chosen.to(device), random_bits(seed_, kTurn, step), scales_);
  }
  LabelledGraph graph = fresh_.next();
  if (reuse_ > 1) {
    latest_.push_back(graph);
    if (latest_.size() > window_) latest_.pop_front();
  }
  return graph.to(device);
}

}  // namespace starling::learn
