#pragma once

#include <cstdint>

#include "memory/layout.h"
#include "starling/interaction_network.h"

namespace starling::interaction_network {

/// The order in which the runtime keeps nodes and edges. Rows are nodes: those with edges out only, then those with
/// edges both ways, then those with edges in only, each in the graph's order of nodes; nodes without edges come last
/// where they are wanted at all. Edges are sorted by the rows of their source and destination, equal ones by index.
struct GraphOrder {
  std::int32_t rows = 0;
  std::int32_t first_with_in = 0;  ///< rows [first_with_in, end_with_in) have edges in
  std::int32_t end_with_in = 0;
  std::int32_t end_with_out = 0;       ///< rows [0, end_with_out) have edges out
  std::int32_t* node = nullptr;        ///< [rows] of each row
  std::int32_t* edge = nullptr;        ///< [E] place in the graph
  std::int32_t* src = nullptr;         ///< [E] row
  std::int32_t* dst = nullptr;         ///< [E] row
  std::int32_t* out_splits = nullptr;  ///< [rows + 1]: edges out of row r are out_splits[r] .. out_splits[r + 1] - 1
  std::int32_t* in_splits = nullptr;   ///< [rows + 1], into in_edges
  std::int32_t* in_edges = nullptr;    ///< [E] edges into each row, ascending
  std::int32_t* row = nullptr;         ///< [N] scratch: the row of each node

  /// Rows that a graph has at most.
  static std::int32_t most_rows(std::int32_t num_nodes, std::int64_t num_edges, bool isolated);

  void take(memory::Layout& layout, std::int32_t num_nodes, std::int64_t num_edges, bool isolated);
  /// Fills it for a graph whose edges are checked. `isolated`: keep nodes without edges.
  void fill(const GraphView& graph, bool isolated);
};

}  // namespace starling::interaction_network
