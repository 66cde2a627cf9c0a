#include "interaction_network/cuda/order.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include "cuda/launch.cuh"

// Counting sorts, as on the host. Edges draw numbers within their nodes from atomic counters, which say where a row's
// edges stand but not in which order: each row is then sorted by itself. Rows are short, so that an edge counts the
// smaller keys of its row.
namespace starling::interaction_network::cuda {

using starling::cuda::after_previous, starling::cuda::blocks_of, starling::cuda::call, starling::cuda::launch_after;

/// Nodes and ends of edges of some places of the order, by the ways in which edges reach the nodes, in the order of the
/// rows: out only, both, in only, none.
struct DeviceOrder::Totals {
  std::uint32_t nodes[4];
  std::uint32_t out[2], in[2];  ///< edges out of nodes of ways 0 and 1, and into those of ways 1 and 2
};

namespace {

using Totals = DeviceOrder::Totals;

constexpr int kThreads = 256, kPlaces = 512;
/// An edge counts in rows of at most so many edges. A block has as many threads, so at most one longer row begins in
/// it.
constexpr int kSortThreads = 1024;
constexpr std::int32_t kNoPlace = 0x7fffffff;

struct Plus {
  __device__ Totals operator()(const Totals& a, const Totals& b) const {
    Totals sum;
#pragma unroll
    for (int i = 0; i < 4; ++i) sum.nodes[i] = a.nodes[i] + b.nodes[i];
#pragma unroll
    for (int i = 0; i < 2; ++i) sum.out[i] = a.out[i] + b.out[i], sum.in[i] = a.in[i] + b.in[i];
    return sum;
  }
};

/// The node at a place, −1 where the order is none: `first_place` holds the first place of each node.
struct Places {
  const std::int32_t *order, *first_place;
  std::int32_t num_nodes;
  __device__ std::int32_t node(std::int64_t place) const {
    if (place >= num_nodes) return -1;
    if (order == nullptr) return static_cast<std::int32_t>(place);
    const std::int32_t node = order[place];
    return node >= 0 && node < num_nodes && first_place[node] == place ? node : -1;
  }
};

__device__ Totals totals_of(std::int32_t node, const std::uint32_t* out_degree, const std::uint32_t* in_degree) {
  Totals one{};
  if (node < 0) return one;
  const std::uint32_t out = out_degree[node], in = in_degree[node];
  one.nodes[0] = out > 0 && in == 0;
  one.nodes[1] = out > 0 && in > 0;
  one.nodes[2] = out == 0 && in > 0;
  one.nodes[3] = out == 0 && in == 0;
  one.out[in > 0 ? 1 : 0] = out;
  one.in[out > 0 ? 0 : 1] = in;
  return one;
}

__global__ void __launch_bounds__(kThreads)
    clear_kernel(std::int32_t num_nodes, std::int32_t capacity, const std::int32_t* count, std::uint32_t* out_degree,
                 std::uint32_t* in_degree, std::int32_t* row, Counts* counts) {
  const std::int64_t v = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (v == 0) *counts = {count != nullptr ? min(max(*count, 0), capacity) : capacity, 0, capacity};
  if (v >= num_nodes) return;
  out_degree[v] = in_degree[v] = 0;
  row[v] = kNoPlace;
}

/// Degrees of nodes, and of each edge its number among the edges of its nodes, which changes from run to run.
__global__ void __launch_bounds__(kThreads)
    degrees_kernel(const std::int32_t* src, const std::int32_t* dst, const std::int32_t* order, std::int32_t num_nodes,
                   std::uint32_t* out_degree, std::uint32_t* in_degree, std::uint32_t* out_number,
                   std::uint32_t* in_number, std::int32_t* first_place, Counts* counts) {
  after_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (order != nullptr && i < num_nodes) {
    const std::int32_t node = order[i];
    if (node >= 0 && node < num_nodes) atomicMin(first_place + node, static_cast<std::int32_t>(i));
  }
  if (i >= counts->edges) return;
  const std::int32_t from = src[i], to = dst[i];
  if (from < 0 || from >= num_nodes || to < 0 || to >= num_nodes) {
    atomicMin(&counts->bad_edge, static_cast<std::int32_t>(i));
    return;
  }
  out_number[i] = atomicAdd(out_degree + from, 1u);
  in_number[i] = atomicAdd(in_degree + to, 1u);
}

__global__ void __launch_bounds__(kPlaces) totals_kernel(const Places places, const std::uint32_t* out_degree,
                                                         const std::uint32_t* in_degree, Totals* totals) {
  using Reduce = cub::BlockReduce<Totals, kPlaces, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  __shared__ typename Reduce::TempStorage memory;
  after_previous();
  const std::int32_t node = places.node(std::int64_t{blockIdx.x} * kPlaces + threadIdx.x);
  const Totals sum = Reduce(memory).Reduce(totals_of(node, out_degree, in_degree), Plus());
  if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

/// Nodes become rows.
__global__ void __launch_bounds__(kPlaces)
    rows_kernel(const Places places, const std::uint32_t* out_degree, const std::uint32_t* in_degree,
                const Totals* totals, bool isolated, std::int32_t capacity, std::int32_t* node, std::int32_t* row,
                std::uint32_t* out_splits, std::uint32_t* in_splits, Counts* counts, std::int32_t* bad_edge) {
  using Reduce = cub::BlockReduce<Totals, kPlaces, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  using Scan = cub::BlockScan<Totals, kPlaces, cub::BLOCK_SCAN_WARP_SCANS>;
  __shared__ union {
    typename Reduce::TempStorage reduce;
    typename Scan::TempStorage scan;
  } memory;
  __shared__ Totals shared[2];  // of the places before this block's, and of all
  after_previous();
  const Plus plus;
  Totals before{}, all{};
  for (unsigned i = threadIdx.x; i < gridDim.x; i += kPlaces) {
    const Totals other = totals[i];
    all = plus(all, other);
    if (i < blockIdx.x) before = plus(before, other);
  }
  before = Reduce(memory.reduce).Reduce(before, plus);
  __syncthreads();
  all = Reduce(memory.reduce).Reduce(all, plus);
  if (threadIdx.x == 0) shared[0] = before, shared[1] = all;
  __syncthreads();
  all = shared[1];
  const std::uint32_t there = all.nodes[0] + all.nodes[1] + all.nodes[2] + all.nodes[3];
  const std::int32_t bad = counts->bad_edge;
  const bool runs = bad >= capacity && there == static_cast<std::uint32_t>(places.num_nodes);
  const std::uint32_t with_edges = there - all.nodes[3], edges = all.out[0] + all.out[1];
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    *bad_edge = bad < capacity ? bad : -1;
    const std::uint32_t rows = runs ? (isolated ? there : with_edges) : 0;
    counts->rows = static_cast<std::int32_t>(rows);
    if (!runs) counts->edges = 0;
    out_splits[rows] = in_splits[rows] = runs ? edges : 0;
  }
  if (!runs) return;

  const std::int32_t own = places.node(std::int64_t{blockIdx.x} * kPlaces + threadIdx.x);
  const Totals one = totals_of(own, out_degree, in_degree);
  Totals ahead;
  Scan(memory.scan).ExclusiveScan(one, ahead, shared[0], plus);
  if (own < 0 || (one.nodes[3] > 0 && !isolated)) return;
  std::uint32_t r, out, in;
  if (one.nodes[0] > 0) {
    r = ahead.nodes[0], out = ahead.out[0], in = 0;
  } else if (one.nodes[1] > 0) {
    r = all.nodes[0] + ahead.nodes[1], out = all.out[0] + ahead.out[1], in = ahead.in[0];
  } else if (one.nodes[2] > 0) {
    r = all.nodes[0] + all.nodes[1] + ahead.nodes[2], out = edges, in = all.in[0] + ahead.in[1];
  } else {
    r = with_edges + ahead.nodes[3], out = in = edges;
  }
  node[r] = own;
  // The place of `own` in the order was read from here: an order that names each node once makes this its only thread.
  row[own] = static_cast<std::int32_t>(r);
  out_splits[r] = out;
  in_splits[r] = in;
}

/// Edges out of each row, in any order: keys that order as the row of the destination, then as the edges.
__global__ void __launch_bounds__(kThreads)
    place_kernel(const std::int32_t* graph_src, const std::int32_t* graph_dst, const std::int32_t* row,
                 const std::uint32_t* out_splits, const std::uint32_t* out_number, const Counts* counts,
                 unsigned long long* keys, std::int32_t* src) {
  after_previous();
  const std::int64_t e = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (e >= counts->edges) return;
  const std::int32_t from = row[graph_src[e]], to = row[graph_dst[e]];
  const std::uint32_t at = out_splits[from] + out_number[e];
  keys[at] = static_cast<unsigned long long>(to) << 32 | static_cast<unsigned long long>(e);
  src[at] = from;
}

/// Sorts the keys of each row, all of them different, and gives them to put(place, key). `row_of`: the row of a place.
/// A long row is merged by the block in which it begins, with memory for as many keys.
template <typename Key, typename RowOf, typename Put>
__device__ void sort_rows(Key* keys, Key* spare, const std::uint32_t* splits, std::int32_t num_keys,
                          const RowOf& row_of, const Put& put) {
  __shared__ std::uint32_t long_begin, long_size;
  if (threadIdx.x == 0) long_size = 0;
  __syncthreads();
  const std::int64_t i = std::int64_t{blockIdx.x} * kSortThreads + threadIdx.x;
  if (i < num_keys) {
    const std::int32_t row = row_of(i);
    const std::uint32_t begin = splits[row], size = splits[row + 1] - begin;
    if (size <= kSortThreads) {
      const Key key = keys[i];
      std::uint32_t smaller = 0;
#pragma unroll 4
      for (std::uint32_t k = begin; k < begin + size; ++k) smaller += keys[k] < key;
      put(begin + smaller, key);
    } else if (begin == i) {
      long_begin = begin, long_size = size;
    }
  }
  __syncthreads();
  const std::uint32_t begin = long_begin, size = long_size;
  if (size == 0) return;
  Key *from = keys + begin, *to = spare + begin;
  for (std::uint32_t run = 1; run < size; run *= 2) {
    for (std::uint32_t k = threadIdx.x; k < size; k += kSortThreads) {
      const Key key = from[k];
      const std::uint32_t number = k / run, other = min(size, (number ^ 1) * run), end = min(size, other + run);
      std::uint32_t low = other, high = end;
      while (low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (from[middle] < key)
          low = middle + 1;
        else
          high = middle;
      }
      to[number / 2 * 2 * run + (k - number * run) + (low - other)] = key;
    }
    __syncthreads();
    Key* const last = from;
    from = to;
    to = last;
  }
  for (std::uint32_t k = threadIdx.x; k < size; k += kSortThreads) put(begin + k, from[k]);
}

__global__ void __launch_bounds__(kSortThreads)
    sort_out_kernel(unsigned long long* keys, unsigned long long* spare, const std::int32_t* src,
                    const std::uint32_t* out_splits, const std::uint32_t* in_splits, const std::uint32_t* in_number,
                    const Counts* counts, std::int32_t* edge, std::int32_t* dst, std::uint32_t* in_list) {
  after_previous();
  sort_rows(
      keys, spare, out_splits, counts->edges, [&](std::int64_t i) { return src[i]; },
      [&](std::uint32_t at, unsigned long long key) {
        const auto e = static_cast<std::int32_t>(key), to = static_cast<std::int32_t>(key >> 32);
        edge[at] = e;
        dst[at] = to;
        in_list[in_splits[to] + in_number[e]] = at;
      });
}

/// A long row is merged in `in_list` itself while other blocks ask which row a place is in: whichever of the row's
/// edges they read there, the answer is that row.
__global__ void __launch_bounds__(kSortThreads)
    sort_in_kernel(std::uint32_t* in_list, std::uint32_t* spare, const std::int32_t* dst,
                   const std::uint32_t* in_splits, const Counts* counts, std::uint32_t* in_edges) {
  after_previous();
  sort_rows(
      in_list, spare, in_splits, counts->edges, [&](std::int64_t i) { return dst[in_list[i]]; },
      [&](std::uint32_t at, std::uint32_t edge) { in_edges[at] = edge; });
}

}  // namespace

void DeviceOrder::take(memory::Layout& layout, std::int32_t num_nodes, std::int64_t num_edges) {
  counts = layout.take<Counts>(1);
  totals_ = layout.take<Totals>(std::max(1, blocks_of(num_nodes, kPlaces)));
  for (std::int32_t** const array : {&node, &row_}) *array = layout.take<std::int32_t>(num_nodes);
  for (std::uint32_t** const array : {&out_degree_, &in_degree_}) *array = layout.take<std::uint32_t>(num_nodes);
  for (std::uint32_t** const array : {&out_splits, &in_splits})
    *array = layout.take<std::uint32_t>(static_cast<std::size_t>(num_nodes) + 1);
  for (std::int32_t** const array : {&edge, &src, &dst}) *array = layout.take<std::int32_t>(num_edges);
  for (std::uint32_t** const array : {&in_edges, &out_number_, &in_number_, &in_list_})
    *array = layout.take<std::uint32_t>(num_edges);
  for (unsigned long long** const array : {&keys_, &spare_}) *array = layout.take<unsigned long long>(num_edges);
}

void DeviceOrder::fill(const GraphView& graph, bool isolated, std::int32_t* bad_edge, cudaStream_t stream) const {
  const std::int32_t nodes = graph.num_nodes, capacity = static_cast<std::int32_t>(graph.num_edges());
  const std::int32_t* const order = graph.order.empty() ? nullptr : graph.order.data();
  const Places places{order, row_, nodes};
  const auto blocks = [](std::int64_t items, int each) { return std::max(1, blocks_of(items, each)); };
  clear_kernel<<<blocks(nodes, kThreads), kThreads, 0, stream>>>(nodes, capacity, graph.count, out_degree_, in_degree_,
                                                                 row_, counts);
  call(cudaGetLastError());
  launch_after(degrees_kernel, blocks(std::max(nodes, capacity), kThreads), kThreads, 0, stream, graph.src.data(),
               graph.dst.data(), order, nodes, out_degree_, in_degree_, out_number_, in_number_, row_, counts);
  launch_after(totals_kernel, blocks(nodes, kPlaces), kPlaces, 0, stream, places, out_degree_, in_degree_, totals_);
  launch_after(rows_kernel, blocks(nodes, kPlaces), kPlaces, 0, stream, places, out_degree_, in_degree_, totals_,
               isolated, capacity, node, row_, out_splits, in_splits, counts, bad_edge);
  launch_after(place_kernel, blocks(capacity, kThreads), kThreads, 0, stream, graph.src.data(), graph.dst.data(), row_,
               out_splits, out_number_, counts, keys_, src);
  launch_after(sort_out_kernel, blocks(capacity, kSortThreads), kSortThreads, 0, stream, keys_, spare_, src, out_splits,
               in_splits, in_number_, counts, edge, dst, in_list_);
  launch_after(sort_in_kernel, blocks(capacity, kSortThreads), kSortThreads, 0, stream, in_list_,
               reinterpret_cast<std::uint32_t*>(spare_), dst, in_splits, counts, in_edges);
}

}  // namespace starling::interaction_network::cuda
