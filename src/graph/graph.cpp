#include "starling/graph.h"

#include <limits>
#include <numeric>
#include <string>

#include "starling/error.h"

namespace starling {

Csr group_edges(std::span<const std::int32_t> ends, std::int32_t num_nodes) {
  if (num_nodes < 0) {
    throw Error(ErrorKind::usage, "group_edges: num_nodes is " + std::to_string(num_nodes) + ", expected 0 or more");
  }
  if (ends.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorKind::usage,
                "group_edges: " + std::to_string(ends.size()) + " edges, expected at most 2147483647");
  }
  Csr csr;
  csr.row_splits.assign(static_cast<std::size_t>(num_nodes) + 1, 0);
  for (std::size_t e = 0; e < ends.size(); ++e) {
    const std::int32_t node = ends[e];
    if (node < 0 || node >= num_nodes) {
      throw Error(ErrorKind::usage, "group_edges: edge " + std::to_string(e) + " ends at node " + std::to_string(node) +
                                        ", expected 0.." + std::to_string(num_nodes - 1));
    }
    ++csr.row_splits[static_cast<std::size_t>(node) + 1];
  }
  std::partial_sum(csr.row_splits.begin(), csr.row_splits.end(), csr.row_splits.begin());
  csr.edges.resize(ends.size());
  std::vector<std::int32_t> next(csr.row_splits.begin(), csr.row_splits.end() - 1);
  for (std::size_t e = 0; e < ends.size(); ++e) {
    csr.edges[static_cast<std::size_t>(next[static_cast<std::size_t>(ends[e])]++)] = static_cast<std::int32_t>(e);
  }
  return csr;
}

}  // namespace starling
