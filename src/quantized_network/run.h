#pragma once

#include "interaction_network/graph_order.h"
#include "memory/layout.h"
#include "quantized_network/packed.h"

namespace starling::quantized_network {

/// The caller's memory, as one run uses it. Codes and sums have the types of the kernels.
struct Workspace {
  /// What one thread at a time works in. Aligned, so that each takes the same number of bytes.
  struct alignas(memory::Layout::kAlignment) Tile {
    std::byte* inputs[dense::kMostCodeInputs];  ///< [tile rows, stride] codes
    std::byte* hidden[2];                       ///< [tile rows, stride] codes
    float* features;                            ///< [tile rows, inputs, padded to kCodeColumns]
    std::byte* sums;                            ///< [tile rows, columns] sums
    std::int32_t* messages;                     ///< [tile rows, stride]
    dense::IntegerMoments* moments;             ///< [columns], of batch normalisation
  };

  interaction_network::GraphOrder order;
  std::byte *x, *x0, *e, *e0;           ///< [rows, stride] and [E, stride] codes
  std::byte *by_src, *by_dst;           ///< [rows, columns] sums
  std::byte *layer_sums, *layer_codes;  ///< [rows or E, columns] sums, [rows or E, stride] codes: of a layer as a whole
  Tile* tiles;                          ///< [slots]

  Workspace(memory::Layout& layout, const PackedNetwork& network, std::int32_t num_nodes, std::int64_t num_edges,
            int slots);
};

/// All of QuantizedPlan::run() behind its checks; the graph has edges. `slots` is how many threads work at most.
/// Throws ErrorKind::usage for a node with so many edges that the sum of their codes is beyond 2^31.
void run(const PackedNetwork& network, const GraphView& graph, Workspace& workspace, int slots, float* logits);

}  // namespace starling::quantized_network
