#include "interaction_network/cuda/order.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/launch.cuh"
#include "lists/lists.h"

// Counting sorts of the host are stable sorts here: nodes by the ways in which edges reach them, edges by the row of
// their destination and then by that of their source. turn_round() sorts entries by point and says where each point
// begins, which is what a row of a graph needs.
namespace starling::interaction_network::cuda {

using starling::cuda::blocks_of, starling::cuda::call;

namespace {

constexpr int kThreads = 256;

// Ways in which edges reach a node, in the order of the rows: out only, both, in only, none.
enum : std::int32_t { kHasOut = 1, kHasIn = 2 };
constexpr int kWays = 4;
__device__ inline std::int32_t place_of_ways(std::int32_t bits) {
  return bits == kHasOut ? 0 : bits == (kHasOut | kHasIn) ? 1 : bits == kHasIn ? 2 : 3;
}

__global__ void __launch_bounds__(kThreads)
    clear_kernel(std::int32_t num_nodes, std::int32_t capacity, const std::int32_t* count, std::int32_t* ways,
                 std::int32_t* row, Counts* counts) {
  const std::int64_t v = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (v < num_nodes) ways[v] = row[v] = 0;
  if (v == 0) *counts = {count != nullptr ? min(max(*count, 0), capacity) : capacity, 0, capacity};
}

__global__ void __launch_bounds__(kThreads) mark_kernel(const std::int32_t* src, const std::int32_t* dst,
                                                        std::int32_t num_nodes, std::int32_t* ways, Counts* counts) {
  const std::int64_t e = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (e >= counts->edges) return;
  const std::int32_t from = src[e], to = dst[e];
  if (from < 0 || from >= num_nodes || to < 0 || to >= num_nodes) {
    atomicMin(&counts->bad_edge, static_cast<std::int32_t>(e));
    return;
  }
  // Most edges find their bit set.
  if ((ways[from] & kHasOut) == 0) atomicOr(ways + from, kHasOut);
  if ((ways[to] & kHasIn) == 0) atomicOr(ways + to, kHasIn);
}

/// Ways by place in the order of the nodes; a node that is not there counts as none, behind all others.
__global__ void __launch_bounds__(kThreads)
    places_kernel(const std::int32_t* order, std::int32_t num_nodes, const std::int32_t* ways, std::int32_t* by_place,
                  std::int32_t capacity, Counts* counts, std::int32_t* bad_edge) {
  const std::int64_t place = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (place == 0) {
    const bool bad = counts->bad_edge < capacity;
    *bad_edge = bad ? counts->bad_edge : -1;
    if (bad) counts->edges = 0;
  }
  if (place >= num_nodes) return;
  const std::int32_t node = order != nullptr ? order[place] : static_cast<std::int32_t>(place);
  by_place[place] = node >= 0 && node < num_nodes ? place_of_ways(ways[node]) : -1;
}

__global__ void __launch_bounds__(kThreads)
    rows_kernel(const std::int32_t* order, std::int32_t num_nodes, const Holders places, bool isolated,
                std::int32_t* node, std::int32_t* row, Counts* counts) {
  const std::int64_t r = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (r == 0) counts->rows = static_cast<std::int32_t>(places.begin[isolated ? kWays : kWays - 1]);
  if (r >= num_nodes) return;
  const auto place = static_cast<std::int32_t>(places.entry[r]);
  const std::int32_t there = order != nullptr ? order[place] : place;
  if (r >= places.begin[kWays]) return;
  node[r] = there;
  row[there] = static_cast<std::int32_t>(r);
}

/// ends[i] = the row at one end of edge `edges[i]`, or of edge i; −1 beyond the edges.
__global__ void __launch_bounds__(kThreads)
    ends_kernel(const std::int32_t* end, const std::uint32_t* edges, const std::int32_t* row, std::int32_t capacity,
                const Counts* counts, std::int32_t* ends) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= capacity) return;
  ends[i] = i < counts->edges ? row[end[edges != nullptr ? edges[i] : i]] : -1;
}

__global__ void __launch_bounds__(kThreads)
    edges_kernel(const std::int32_t* graph_src, const std::int32_t* graph_dst, const std::uint32_t* by_dst,
                 const std::uint32_t* by_src, const std::int32_t* row, std::int32_t capacity, const Counts* counts,
                 std::int32_t* edge, std::int32_t* src, std::int32_t* dst) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= capacity) return;
  if (i >= counts->edges) {
    dst[i] = -1;
    return;
  }
  const auto at = static_cast<std::int32_t>(by_dst[by_src[i]]);
  edge[i] = at;
  src[i] = row[graph_src[at]];
  dst[i] = row[graph_dst[at]];
}

Lists lists_of(const std::int32_t* index, std::int64_t entries, std::int32_t points) {
  return {.index = index,
          .num_rows = static_cast<std::int32_t>(entries),
          .k = 1,
          .num_entries = entries,
          .num_points = points};
}

}  // namespace

void DeviceOrder::take(memory::Layout& layout, std::int32_t num_nodes, std::int64_t num_edges) {
  counts = layout.take<Counts>(1);
  for (std::int32_t** const array : {&node, &row_, &ways_}) *array = layout.take<std::int32_t>(num_nodes);
  for (std::int32_t** const array : {&edge, &src, &dst, &ends_}) *array = layout.take<std::int32_t>(num_edges);
  const std::size_t by_ways = lists::cuda::turn_round_bytes(lists_of(nullptr, num_nodes, kWays));
  const std::size_t by_row = lists::cuda::turn_round_bytes(lists_of(nullptr, num_edges, num_nodes));
  const auto bytes = [&](std::size_t count) { return std::span(layout.take<std::byte>(count), count); };
  turned_ = bytes(std::max(by_ways, by_row));
  turned_by_src_ = bytes(std::max(by_row, static_cast<std::size_t>(num_nodes) * sizeof(std::int32_t)));
}

void DeviceOrder::fill(const GraphView& graph, bool isolated, std::int32_t* bad_edge, cudaStream_t stream) {
  const std::int32_t nodes = graph.num_nodes, capacity = static_cast<std::int32_t>(graph.num_edges());
  const std::int32_t* const order = graph.order.empty() ? nullptr : graph.order.data();
  const int node_blocks = std::max(1, blocks_of(nodes, kThreads)), edge_blocks = blocks_of(capacity, kThreads);
  clear_kernel<<<node_blocks, kThreads, 0, stream>>>(nodes, capacity, graph.count, ways_, row_, counts);
  if (capacity > 0)
    mark_kernel<<<edge_blocks, kThreads, 0, stream>>>(graph.src.data(), graph.dst.data(), nodes, ways_, counts);
  // Until the edges are sorted by source, that sort's memory is free.
  auto* const by_place = reinterpret_cast<std::int32_t*>(turned_by_src_.data());
  places_kernel<<<node_blocks, kThreads, 0, stream>>>(order, nodes, ways_, by_place, capacity, counts, bad_edge);
  if (capacity == 0) return call(cudaGetLastError());
  const Holders places = lists::cuda::turn_round(lists_of(by_place, nodes, kWays), turned_, stream);
  rows_kernel<<<node_blocks, kThreads, 0, stream>>>(order, nodes, places, isolated, node, row_, counts);

  const auto turn = [&](const std::int32_t* index, std::span<std::byte> memory) {
    return lists::cuda::turn_round(lists_of(index, capacity, nodes), memory, stream);
  };
  ends_kernel<<<edge_blocks, kThreads, 0, stream>>>(graph.dst.data(), nullptr, row_, capacity, counts, ends_);
  const Holders by_dst = turn(ends_, turned_);
  ends_kernel<<<edge_blocks, kThreads, 0, stream>>>(graph.src.data(), by_dst.entry, row_, capacity, counts, ends_);
  const Holders by_src = turn(ends_, turned_by_src_);
  edges_kernel<<<edge_blocks, kThreads, 0, stream>>>(graph.src.data(), graph.dst.data(), by_dst.entry, by_src.entry,
                                                     row_, capacity, counts, edge, src, dst);
  call(cudaGetLastError());
  const Holders into = turn(dst, turned_);
  out_splits = by_src.begin;
  in_splits = into.begin;
  in_edges = into.entry;
}

}  // namespace starling::interaction_network::cuda
