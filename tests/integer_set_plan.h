#pragma once

#include <string>

#include "dense/kernels.h"
#include "quantized_network/run.h"

namespace starling {

/// QuantizedPlan on one thread with a set of kernels of the caller's choice: a level runs the fastest that there is, so
/// that a processor with the tile unit would never run the others.
class IntegerSetPlan : public EdgePlan {
 public:
  /// Of a checked network.
  IntegerSetPlan(const QuantizedNetwork& network, const dense::IntegerSet& set) : network_(network, set) {}

  const InteractionNetworkShape& shape() const override { return network_.shape; }
  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override {
    memory::Layout layout;
    quantized_network::Workspace(layout, network_, num_nodes, num_edges, 1);
    return layout.bytes();
  }
  void run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const override {
    if (graph.num_edges() == 0) return;
    memory::Layout layout(workspace);
    quantized_network::Workspace arrays(layout, network_, graph.num_nodes, graph.num_edges(), 1);
    quantized_network::run(network_, graph, arrays, 1, logits.data());
  }

  std::string kernels() const { return network_.kernels_name(); }

 private:
  quantized_network::PackedNetwork network_;
};

}  // namespace starling
