#pragma once

#include <ctime>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "starling/interaction_network.h"
#include "timing.h"

struct BenchGraph {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;
  std::vector<float> node_features, edge_features;

  starling::GraphView view() const { return {num_nodes, src, dst, node_features, edge_features}; }
};

/// The shortest of several runs: on the wall clock and in processor time of all threads, which a busy machine disturbs
/// less.
struct Times {
  double wall_ms = 0., cpu_ms = 0.;
};
template <class Action>
Times best_times(int repeats, Action action) {
  Times best;
  best.wall_ms = best_ms(repeats, [&] {
    const std::clock_t start = std::clock();
    action();
    const double ms = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    best.cpu_ms = best.cpu_ms == 0. ? ms : std::min(best.cpu_ms, ms);
  });
  return best;
}

/// What LibTorch makes of the same network, graph and number of threads.
struct Peer {
  Times times;
  std::vector<float> logits;
};
Peer run_libtorch(const starling::InteractionNetwork& network, const BenchGraph& graph, int threads);
std::string libtorch_version();
