#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "starling/interaction_network.h"
#include "starling/quantized_network.h"
#include "timing.h"

struct BenchGraph {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;
  std::vector<float> node_features, edge_features;

  starling::GraphView view() const { return {num_nodes, src, dst, node_features, edge_features}; }
};

/// What LibTorch makes of the same network, graph and number of threads.
struct Peer {
  Times times;
  std::vector<float> logits;
};
Peer run_libtorch(const starling::InteractionNetwork& network, const BenchGraph& graph, int threads);
std::string libtorch_version();

/// A network, without the peer, on a CUDA device, one run as a CUDA graph.
struct OnCuda {
  double ms;  ///< median
  double workspace_mb;
  std::vector<float> logits;
};
bool has_cuda();
OnCuda run_cuda(const starling::InteractionNetwork& network, const BenchGraph& graph, starling::NumberType type);
OnCuda run_cuda(const starling::QuantizedNetwork& network, const BenchGraph& graph);
