#pragma once

#include "interaction_network/graph_order.h"
#include "interaction_network/weights.h"

namespace starling::interaction_network {

/// The caller's memory, as one run uses it.
struct Workspace {
  /// What one thread at a time works in. Aligned, so that each takes the same number of bytes.
  struct alignas(memory::Layout::kAlignment) Tile {
    float* features;  ///< [tile rows, inputs]
    float* sums[2];   ///< [tile rows, padded]: messages into and out of nodes
    dense::TileBuffers layers;
    float* moments[2];  ///< [padded]
  };

  GraphOrder order;
  float *x, *x0, *by_src, *by_dst;  ///< [rows, padded]
  float *e, *e0;                    ///< [E, padded]
  double* chunk_moments;            ///< [chunks, 2, padded]: mean and sum of squared differences
  float *norm_scale, *norm_shift;   ///< [padded]
  Tile* tiles;                      ///< [slots]

  Workspace(memory::Layout& layout, const InteractionNetworkShape& shape, const PackedWeights& weights,
            const dense::FloatKernels& kernels, std::int32_t num_nodes, std::int64_t num_edges, int slots);
};

/// All of Plan::run() behind its checks; the graph has edges. `slots` is how many threads work at most.
void run(const InteractionNetworkShape& shape, const PackedWeights& weights, const dense::FloatKernels& kernels,
         const GraphView& graph, Workspace& workspace, int slots, float* logits);

}  // namespace starling::interaction_network
