#pragma once

#include "interaction_network/graph_order.h"
#include "memory/layout.h"
#include "quantized_network/packed.h"

namespace starling::quantized_network {

/// Whether edges gather the codes of their nodes and multiply them, or sums that are multiplied once per node. Results
/// are the same. Codes are a fourth of the sums and are written once, so with few edges per node memory decides.
bool multiplies_per_edge(std::int32_t num_nodes, std::int64_t num_edges);

/// The caller's memory, as one run uses it. Codes and sums have the types of the kernels; tiles are laid out as they
/// say, one behind the other, so that a tile of rows begins where rows would.
struct Workspace {
  /// What one thread at a time works in. Aligned, so that each takes the same number of bytes.
  struct alignas(memory::Layout::kAlignment) Tile {
    std::byte* inputs;               ///< tiles of codes side by side: what an MLP reads
    std::byte* hidden[2];            ///< tiles of codes
    float* features;                 ///< [inputs, padded to kCodeColumns, tile rows]
    std::byte* sums;                 ///< a tile of sums
    std::byte* scratch;              ///< [tile rows, columns] codes
    dense::IntegerMoments* moments;  ///< [columns], of batch normalisation
  };

  interaction_network::GraphOrder order;
  std::byte *x, *x0, *e, *e0;  ///< tiles of codes
  std::byte* messages;         ///< [E, columns] codes: e as nodes gather them
  std::byte *by_src, *by_dst;  ///< [rows, columns] sums, where the products are per node
  std::byte* node_codes;       ///< by_src where they are not: [rows, (1 or 2) columns] codes for edges to gather
  std::byte *layer_sums, *layer_codes;  ///< tiles of sums and of codes: of a layer as a whole
  Tile* tiles;                          ///< [slots]

  Workspace(memory::Layout& layout, const PackedNetwork& network, std::int32_t num_nodes, std::int64_t num_edges,
            int slots);
};

/// All of QuantizedPlan::run() behind its checks; the graph has edges. `slots` is how many threads work at most.
/// Throws ErrorKind::usage for a node with so many edges that the sum of their codes is beyond 2^31.
void run(const PackedNetwork& network, const GraphView& graph, Workspace& workspace, int slots, float* logits);

}  // namespace starling::quantized_network
