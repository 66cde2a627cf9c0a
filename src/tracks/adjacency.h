#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "starling/graph.h"

namespace starling {

/// The edges of a graph grouped by their inner and by their outer hit.
class Adjacency {
 public:
  /// Leaves out edges from a hit to itself and those whose entry in `keep` is 0.
  Adjacency(const EdgeListView& edges, std::span<const float> scores, std::span<const std::uint8_t> keep);

  struct Link {
    std::int32_t node;  ///< the hit at the other end
    float score;
  };
  std::int32_t num_nodes() const { return static_cast<std::int32_t>(out_splits_.size()) - 1; }
  std::span<const Link> out(std::int32_t node) const { return row(out_splits_, out_links_, node); }
  std::span<const Link> in(std::int32_t node) const { return row(in_splits_, in_links_, node); }
  std::size_t degree(std::int32_t node) const { return out(node).size() + in(node).size(); }

 private:
  static std::span<const Link> row(const std::vector<std::int32_t>& splits, const std::vector<Link>& links,
                                   std::int32_t node) {
    return {links.data() + splits[node], links.data() + splits[node + 1]};
  }
  std::vector<std::int32_t> out_splits_, in_splits_;
  std::vector<Link> out_links_, in_links_;
};

/// All nodes in the order of their longest way from an inner end, then of their index. Edges lead onwards in it; where
/// some form a cycle, the smallest of the nodes that wait for each other goes first.
std::vector<std::int32_t> outward_order(const Adjacency& graph);

}  // namespace starling
