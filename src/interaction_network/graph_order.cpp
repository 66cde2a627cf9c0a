#include "interaction_network/graph_order.h"

#include <algorithm>
#include <string>

#include "starling/error.h"

namespace starling::interaction_network {
namespace {

// `seen`: scratch, [num_nodes].
void check_order(const GraphView& graph, std::int32_t* seen) {
  if (graph.order.empty()) return;
  std::fill_n(seen, graph.num_nodes, 0);
  for (std::int32_t place = 0; place < graph.num_nodes; ++place) {
    const std::int32_t node = graph.order[place];
    if (node < 0 || node >= graph.num_nodes || seen[node]++ > 0) {
      throw Error(ErrorKind::usage, "order holds " + std::to_string(node) + " at entry " + std::to_string(place) +
                                        ", expected each of 0.." + std::to_string(graph.num_nodes - 1) + " once");
    }
  }
}

}  // namespace

std::int32_t GraphOrder::most_rows(std::int32_t num_nodes, std::int64_t num_edges, bool isolated) {
  return isolated ? num_nodes : static_cast<std::int32_t>(std::min<std::int64_t>(num_nodes, 2 * num_edges));
}

void GraphOrder::take(memory::Layout& layout, std::int32_t num_nodes, std::int64_t num_edges, bool isolated) {
  const std::int32_t most = most_rows(num_nodes, num_edges, isolated);
  node = layout.take<std::int32_t>(most);
  for (std::int32_t** const array : {&edge, &src, &dst, &in_edges}) *array = layout.take<std::int32_t>(num_edges);
  for (std::int32_t** const array : {&out_splits, &in_splits})
    *array = layout.take<std::int32_t>(most + std::int64_t{1});
  row = layout.take<std::int32_t>(num_nodes);
}

void GraphOrder::fill(const GraphView& graph, bool isolated) {
  enum : std::int32_t { kNeither = 0, kOut = 1, kIn = 2, kBoth = 3 };
  check_order(graph, row);
  const auto node_at = [&](std::int32_t place) { return graph.order.empty() ? place : graph.order[place]; };
  std::fill_n(row, graph.num_nodes, kNeither);
  for (std::int64_t i = 0; i < graph.num_edges(); ++i) {
    row[graph.src[i]] |= kOut;
    row[graph.dst[i]] |= kIn;
  }
  std::int32_t count[4] = {};
  for (std::int32_t v = 0; v < graph.num_nodes; ++v) ++count[row[v]];
  first_with_in = count[kOut];
  end_with_out = first_with_in + count[kBoth];
  end_with_in = end_with_out + count[kIn];
  rows = end_with_in + (isolated ? count[kNeither] : 0);

  std::int32_t next[4] = {end_with_in, 0, end_with_out, first_with_in};
  for (std::int32_t place = 0; place < graph.num_nodes; ++place) {
    const std::int32_t v = node_at(place);
    if (row[v] == kNeither && !isolated) continue;
    row[v] = next[row[v]]++;
    node[row[v]] = v;
  }

  // Counting sorts, by destination and then by source, so that edges out of one row are in the order of the rows they
  // lead to. A split is the end of its row while rows fill backwards, and the beginning when they are full.
  std::fill_n(out_splits, rows + std::int64_t{1}, 0);
  std::fill_n(in_splits, rows + std::int64_t{1}, 0);
  for (std::int64_t i = 0; i < graph.num_edges(); ++i) {
    ++out_splits[row[graph.src[i]]];
    ++in_splits[row[graph.dst[i]]];
  }
  for (std::int32_t r = 0; r < rows; ++r) {
    out_splits[r + 1] += out_splits[r];
    in_splits[r + 1] += in_splits[r];
  }
  for (std::int64_t i = graph.num_edges(); i-- > 0;) {
    in_edges[--in_splits[row[graph.dst[i]]]] = static_cast<std::int32_t>(i);
  }
  for (std::int64_t k = graph.num_edges(); k-- > 0;) {
    const std::int32_t i = in_edges[k];
    const std::int32_t at = --out_splits[row[graph.src[i]]];
    edge[at] = i;
    src[at] = row[graph.src[i]];
    dst[at] = row[graph.dst[i]];
  }
  // Edges have new places: each row in is filled anew, forwards, which leaves every split at the end of its row.
  for (std::int64_t at = 0; at < graph.num_edges(); ++at)
    in_edges[in_splits[dst[at]]++] = static_cast<std::int32_t>(at);
  for (std::int32_t r = rows; r > 0; --r) in_splits[r] = in_splits[r - 1];
  in_splits[0] = 0;
}

}  // namespace starling::interaction_network
