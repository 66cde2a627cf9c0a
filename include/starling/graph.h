#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace starling {

/// A directed graph over `num_nodes` nodes, edges sorted by (src, dst).
struct EdgeList {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;  ///< [E] node indices

  std::int64_t size() const { return static_cast<std::int64_t>(src.size()); }
};

/// The edges that touch each node, in ascending order: edges of node v are edges[row_splits[v]] .. edges[row_splits[v +
/// 1] - 1].
struct Csr {
  std::vector<std::int32_t> row_splits;  ///< [num_nodes + 1]
  std::vector<std::int32_t> edges;       ///< [E]
};

/// Groups edges by the node that `ends` names (an edge list's src or dst). Throws ErrorKind::usage for an index outside
/// 0..num_nodes-1.
Csr group_edges(std::span<const std::int32_t> ends, std::int32_t num_nodes);

}  // namespace starling
