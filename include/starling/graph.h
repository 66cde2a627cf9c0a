#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace starling {

/// A directed graph over `num_nodes` nodes in the caller's memory, edges in any order: valid as long as the arrays that
/// it views.
struct EdgeListView {
  std::int32_t num_nodes = 0;
  std::span<const std::int32_t> src, dst;  ///< [E] node indices
  /// One element in the memory of the arrays: the number of edges, where only the device knows it. Then size() is the
  /// capacity. Functions that run on the host refuse it (ErrorKind::usage).
  const std::int32_t* count = nullptr;

  std::int64_t size() const { return static_cast<std::int64_t>(src.size()); }
  /// Throws ErrorKind::usage where src and dst differ in length, an end is outside 0..num_nodes-1 or there is a count;
  /// the message begins with `caller`.
  void check(const char* caller) const;
};

/// A directed graph over `num_nodes` nodes, edges sorted by (src, dst).
struct EdgeList {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;  ///< [E] node indices

  std::int64_t size() const { return static_cast<std::int64_t>(src.size()); }
  operator EdgeListView() const { return {num_nodes, src, dst}; }
};

/// Rows of edges: those of row v are edges[row_splits[v]] .. edges[row_splits[v + 1] - 1], in ascending order.
struct Csr {
  std::vector<std::int32_t> row_splits{0};  ///< [rows + 1]
  std::vector<std::int32_t> edges;          ///< indices of edges
};

/// One row per node: groups edges by the node that `ends` names (an edge list's src or dst). Throws ErrorKind::usage
/// for an index outside 0..num_nodes-1.
Csr group_edges(std::span<const std::int32_t> ends, std::int32_t num_nodes);

}  // namespace starling
