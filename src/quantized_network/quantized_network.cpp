#include "starling/quantized_network.h"

#include <tbb/task_arena.h>

#include <algorithm>

#include "interaction_network/shape.h"
#include "quantized_network/run.h"

namespace starling {
namespace {

const QuantizedNetwork& checked(const QuantizedNetwork& network) {
  quantized_network::check(network, ErrorKind::usage, "");
  return network;
}

}  // namespace

struct QuantizedPlan::Packed {
  quantized_network::PackedNetwork network;

  // The workspace with `slots` threads, and the bytes that takes.
  std::size_t bytes(std::int32_t num_nodes, std::int64_t num_edges, int slots) const {
    memory::Layout layout;
    quantized_network::Workspace(layout, network, num_nodes, num_edges, slots);
    return layout.bytes();
  }
};

QuantizedPlan::QuantizedPlan(const QuantizedNetwork& network, SimdLevel level)
    : packed_(new Packed{quantized_network::PackedNetwork(checked(network), dense::integer_sets(level).back())}) {}

QuantizedPlan::~QuantizedPlan() = default;

const InteractionNetworkShape& QuantizedPlan::shape() const { return packed_->network.shape; }

std::string QuantizedPlan::kernels() const { return packed_->network.kernels_name(); }

std::size_t QuantizedPlan::workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const {
  interaction_network::check_size(num_nodes, num_edges);
  return packed_->bytes(num_nodes, num_edges, tbb::this_task_arena::max_concurrency());
}

void QuantizedPlan::run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const {
  interaction_network::check_graph(graph, packed_->network.shape);
  const int slots = interaction_network::slots_of(
      graph, logits, workspace, tbb::this_task_arena::max_concurrency(),
      [&](int count) { return packed_->bytes(graph.num_nodes, graph.num_edges(), count); });
  if (graph.num_edges() == 0) return;
  memory::Layout layout(workspace);
  quantized_network::Workspace arrays(layout, packed_->network, graph.num_nodes, graph.num_edges(), slots);
  quantized_network::run(packed_->network, graph, arrays, slots, logits.data());
}

}  // namespace starling
