#pragma once

#include "memory/layout.h"
#include "starling/interaction_network.h"

namespace starling::interaction_network::cuda {

/// What only the device knows.
struct Counts {
  std::int32_t edges;     ///< 0 where one of them ends at no node
  std::int32_t rows;      ///< nodes that take part
  std::int32_t bad_edge;  ///< the first that ends at no node; past the last where there is none
};

/// The order of GraphOrder (graph_order.h) on a device: the same rows and the same edges, so that sums have the same
/// order. Arrays have room for every node and for the capacity of edges; what is beyond the counts is not to be read.
class DeviceOrder {
 public:
  struct Totals;

  Counts* counts = nullptr;
  std::int32_t* node = nullptr;                 ///< [rows] of each row
  std::int32_t* edge = nullptr;                 ///< [E] place in the graph
  std::int32_t *src = nullptr, *dst = nullptr;  ///< [E] rows
  /// [rows + 1] edges out of row r are out_splits[r] .. out_splits[r + 1] − 1
  std::uint32_t* out_splits = nullptr;
  std::uint32_t* in_splits = nullptr;  ///< [rows + 1], into in_edges
  std::uint32_t* in_edges = nullptr;   ///< [E] edges into each row, ascending

  void take(memory::Layout& layout, std::int32_t num_nodes, std::int64_t num_edges);
  /// Fills it. `isolated`: keep nodes without edges. *bad_edge becomes the first edge that ends at no node, or −1.
  /// Where there is one, or graph.order does not hold every node once, there are no rows and no edges.
  void fill(const GraphView& graph, bool isolated, std::int32_t* bad_edge, CUstream_st* stream) const;

 private:
  std::int32_t* row_ = nullptr;                                 ///< [N]
  std::uint32_t *out_degree_ = nullptr, *in_degree_ = nullptr;  ///< [N]
  std::uint32_t *out_number_ = nullptr, *in_number_ = nullptr;  ///< [E]
  std::uint32_t* in_list_ = nullptr;                            ///< [E]
  unsigned long long *keys_ = nullptr, *spare_ = nullptr;       ///< [E]
  Totals* totals_ = nullptr;
};

}  // namespace starling::interaction_network::cuda
