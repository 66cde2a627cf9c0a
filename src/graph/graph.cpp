#include "starling/graph.h"

#include <limits>
#include <numeric>
#include <string>

#include "starling/error.h"

namespace starling {
namespace {

[[noreturn]] void refuse_end(const char* caller, std::size_t edge, const char* end, std::int32_t node,
                             std::int32_t num_nodes) {
  throw Error(ErrorKind::usage, std::string(caller) + ": edge " + std::to_string(edge) + " " + end + " node " +
                                    std::to_string(node) + ", expected 0.." + std::to_string(num_nodes - 1));
}

}  // namespace

void EdgeListView::check(const char* caller) const {
  if (num_nodes < 0) {
    throw Error(ErrorKind::usage,
                std::string(caller) + ": num_nodes is " + std::to_string(num_nodes) + ", expected 0 or more");
  }
  if (src.size() != dst.size()) {
    throw Error(ErrorKind::usage, std::string(caller) + ": " + std::to_string(src.size()) + " src and " +
                                      std::to_string(dst.size()) + " dst, expected as many of each");
  }
  if (count != nullptr) {
    throw Error(
        ErrorKind::usage,
        std::string(caller) + ": the number of edges is in the memory of a device, expected a graph of the host");
  }
  const auto outside = [&](std::int32_t node) { return node < 0 || node >= num_nodes; };
  for (std::size_t e = 0; e < src.size(); ++e) {
    if (outside(src[e])) refuse_end(caller, e, "starts at", src[e], num_nodes);
    if (outside(dst[e])) refuse_end(caller, e, "ends at", dst[e], num_nodes);
  }
}

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
    if (node < 0 || node >= num_nodes) refuse_end("group_edges", e, "ends at", node, num_nodes);
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
