#include "starling/interaction_network.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "dense/kernels.h"
#include "interaction_network/run.h"
#include "interaction_network/shape.h"
#include "memory/growing.h"
#include "starling/error.h"

namespace starling {

namespace {

const InteractionNetwork& checked(const InteractionNetwork& network) {
  interaction_network::check_weights(network, ErrorKind::usage, "");
  return network;
}

}  // namespace

struct Plan::Packed {
  InteractionNetworkShape shape;
  const dense::FloatKernels& kernels;
  interaction_network::PackedWeights weights;

  // The workspace with `slots` threads, and the bytes that takes.
  std::size_t bytes(std::int32_t num_nodes, std::int64_t num_edges, int slots) const {
    memory::Layout layout;
    interaction_network::Workspace(layout, shape, weights, kernels, num_nodes, num_edges, slots);
    return layout.bytes();
  }
};

Plan::Plan(const InteractionNetwork& network, SimdLevel level)
    : packed_(new Packed{network.shape, dense::float_kernels(level),
                         interaction_network::PackedWeights(checked(network), dense::float_kernels(level))}) {}

Plan::~Plan() = default;

const InteractionNetworkShape& Plan::shape() const { return packed_->shape; }

std::size_t Plan::workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const {
  interaction_network::check_size(num_nodes, num_edges);
  return packed_->bytes(num_nodes, num_edges, tbb::this_task_arena::max_concurrency());
}

void Plan::run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const {
  interaction_network::check_graph(graph, packed_->shape);
  const int slots = interaction_network::slots_of(
      graph, logits, workspace, tbb::this_task_arena::max_concurrency(),
      [&](int count) { return packed_->bytes(graph.num_nodes, graph.num_edges(), count); });
  if (graph.num_edges() == 0) return;
  memory::Layout layout(workspace);
  interaction_network::Workspace arrays(layout, packed_->shape, packed_->weights, packed_->kernels, graph.num_nodes,
                                        graph.num_edges(), slots);
  interaction_network::run(packed_->shape, packed_->weights, packed_->kernels, graph, arrays, slots, logits.data());
}

class Session::Memory : public memory::Growing {};

Session::Session(Session&&) noexcept = default;
Session::~Session() = default;

Session::Session(std::shared_ptr<const EdgePlan> plan)
    : plan_(std::move(plan)), workspace_(std::make_unique<Memory>()) {
  if (plan_ == nullptr) throw Error(ErrorKind::usage, "a session without a plan, expected one");
  interaction_network::check_reads_hit_graphs(plan_->shape());
}

Session::Session(const InteractionNetwork& network, SimdLevel level)
    : Session(std::make_shared<const Plan>(network, level)) {}

GraphView network_view(const HitGraphView& graph) {
  return {graph.edges.num_nodes, graph.edges.src, graph.edges.dst,  graph.node_features,
          graph.edge_features,   graph.order,     graph.edges.count};
}

std::vector<float> Session::logits(const HitGraphView& graph) {
  if (plan_ == nullptr) throw Error(ErrorKind::usage, "a session that was moved from, expected one with a plan");
  const GraphView view = network_view(graph);
  std::vector<float> out(graph.edges.src.size());
  plan_->run(view, out, workspace_->at_least(plan_->workspace_bytes(view.num_nodes, view.num_edges())));
  return out;
}

std::vector<float> Session::run(const HitGraphView& graph) {
  std::vector<float> scores = logits(graph);
  edge_scores(scores.data(), std::ssize(scores), nullptr, scores.data(), {});
  return scores;
}

}  // namespace starling
