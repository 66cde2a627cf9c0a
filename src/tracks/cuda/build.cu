#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/block.cuh"
#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "memory/layout.h"
#include "starling/hit_graph.h"
#include "tracks/backends.h"
#include "tracks/cuda/candidate.cuh"
#include "tracks/cuda/component.cuh"
#include "tracks/cuda/group.cuh"

// Kernels over edges join them to components and lists, kernels over nodes group these by component, one kernel makes
// the candidates of each component, and a sum over all hits numbers the tracks. Lists, and the places of components,
// come in any order: nothing that is found depends on it. No kernel waits for a number that only the device knows.
namespace starling::tracks::cuda {

using namespace starling::cuda;

namespace {

constexpr int kBlocksPerProcessor = 4;  // of the kernel over components
// Components that a warp has in shared memory, and those that a block has: with the latter 45 kB in all.
using WarpNodes = Local<32, 64>;
using BlockNodes = Local<512, 1024>;

union Shared {
  WarpNodes warp[kWarps];
  BlockNodes block;
};

__device__ int thread_of_grid() { return static_cast<int>(blockIdx.x * kThreads + threadIdx.x); }

__device__ void report(const Problem& p, std::int32_t edge) {
  // As an unsigned number −1 is above all edges.
  if (p.bad_row != nullptr) atomicMin(reinterpret_cast<std::uint32_t*>(p.bad_row), static_cast<std::uint32_t>(edge));
}

__device__ bool is_node(const Problem& p, std::int32_t node) {
  return static_cast<std::uint32_t>(node) < static_cast<std::uint32_t>(p.num_nodes);
}

/// The number of a hit's node; −1 where the order does not hold the hit.
__device__ std::int32_t number_of(const Problem& p, std::int32_t hit) {
  if (!p.layered()) return hit;
  const std::int32_t node = p.rank[hit];
  return is_node(p, node) && p.order[node] == hit ? node : -1;
}

/// An edge as a number that is larger the better the edge is: by score, then by the smaller node at the other end. −0
/// becomes 0, which it equals.
__device__ unsigned long long quality(float score, std::int32_t other) {
  return static_cast<unsigned long long>(to_ordered(score + 0.f)) << 32 | ~static_cast<std::uint32_t>(other);
}

// A node is given parents of its own component that are smaller than it: an old one that is read late, or that one of
// these writes puts back, is above the node too.
__device__ std::int32_t root_of(std::int32_t* parent, std::int32_t node) {
  volatile std::int32_t* const above = parent;
  for (;;) {
    const std::int32_t next = above[node];
    if (next == node) return node;
    const std::int32_t beyond = above[next];
    if (beyond == next) return next;
    above[node] = beyond;
    node = beyond;
  }
}

__device__ void join(std::int32_t* parent, std::int32_t a, std::int32_t b) {
  for (;;) {
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a == b) return;
    const std::int32_t high = max(a, b), low = min(a, b);
    const std::int32_t was = atomicCAS(parent + high, high, low);
    if (was == high) return;
    a = was;
    b = low;
  }
}

__global__ void __launch_bounds__(kThreads) clear_kernel(const __grid_constant__ Problem p) {
  const int i = thread_of_grid();
  if (i == 0) {
    *p.counters = {};
    if (p.bad_row != nullptr) *p.bad_row = -1;
  }
  if (i < p.capacity && p.reached != nullptr) p.reached[i] = 0;
  if (i >= p.num_nodes) return;
  if (p.layered() && is_node(p, p.order[i])) p.rank[p.order[i]] = i;
  p.parent[i] = i;
  p.degree[i] = 0;
  p.total[i] = 0;
  p.junction[i] = 0;
  p.first_out[i] = -1;
  p.track_size[i] = 0;
  if (i <= (p.num_nodes - 1) / kScanned) p.tracks_of[i] = p.hits_of[i] = 0;
  if (p.edge_first != nullptr) {
    p.edge_first[i] = -1;
    p.owner[i] = -1;
  }
  if (p.junction_removal) p.best_out[i] = p.best_in[i] = 0;
}

/// The nodes of an edge that takes part, before junctions are removed; false for any other edge.
__device__ bool takes_part(const Problem& p, std::int32_t edge, std::int32_t& src, std::int32_t& dst) {
  if (!(p.scores[edge] >= p.cut)) return false;
  src = p.src[edge];
  dst = p.dst[edge];
  if (!is_node(p, src) || !is_node(p, dst) || src == dst) return false;
  src = number_of(p, src);
  dst = number_of(p, dst);
  return src >= 0 && dst >= 0;
}

__global__ void __launch_bounds__(kThreads) best_kernel(const __grid_constant__ Problem p) {
  after_previous();
  const int edge = thread_of_grid();
  std::int32_t src, dst;
  if (edge >= p.num_edges() || !takes_part(p, edge, src, dst)) return;
  atomicMax(p.best_out + src, quality(p.scores[edge], dst));
  atomicMax(p.best_in + dst, quality(p.scores[edge], src));
}

__global__ void __launch_bounds__(kThreads) edge_kernel(const __grid_constant__ Problem p) {
  after_previous();
  const int edge = thread_of_grid();
  if (edge >= p.num_edges()) return;
  std::int32_t src = p.src[edge], dst = p.dst[edge];
  if (!is_node(p, src) || !is_node(p, dst)) {
    report(p, edge);
    return;
  }
  if (p.edge_first != nullptr) p.edge_next[edge] = atomicExch(p.edge_first + src, edge);
  if (number_of(p, src) < 0 || number_of(p, dst) < 0) report(p, edge);
  if (!takes_part(p, edge, src, dst)) return;
  const float score = p.scores[edge];
  if (p.junction_removal && (p.best_out[src] != quality(score, dst) || p.best_in[dst] != quality(score, src))) return;
  p.links[edge] = {src, dst, atomicExch(p.first_out + src, edge), score};
  atomicAdd(p.degree + src, 1u);
  atomicAdd(p.degree + dst, 1u);
  join(p.parent, src, dst);
}

__global__ void __launch_bounds__(kThreads) component_kernel(const __grid_constant__ Problem p) {
  after_previous();
  const int node = thread_of_grid();
  if (node >= p.num_nodes) return;
  const std::uint32_t degree = p.degree[node];
  std::int32_t position = 0;
  if (degree > 0) {
    // From here on a node's parent is to be its root, so no other thread may write it, as root_of() does.
    const volatile std::int32_t* const above = p.parent;
    std::int32_t root = node;
    for (std::int32_t next = above[root]; next != root; next = above[root]) root = next;
    p.parent[node] = root;
    position = static_cast<std::int32_t>(atomicAdd(p.total + root, (1ull << 32) + degree) >> 32);
    if (degree > 2) p.junction[root] = 1;
  }
  p.position[node] = position;
}

__global__ void __launch_bounds__(kThreads) list_kernel(const __grid_constant__ Problem p) {
  after_previous();
  const int node = thread_of_grid();
  Component component{};
  bool small = false;
  if (node < p.num_nodes && p.parent[node] == node) {
    const unsigned long long total = p.total[node];
    component.size = total == 0 ? 1 : static_cast<std::int32_t>(total >> 32);
    component.links = static_cast<std::uint32_t>(total) / 2;
    component.walked = p.walkthrough && p.junction[node] != 0;
    // A node without an edge may be one that the order names twice.
    const bool stands =
        component.size > 1 || !p.layered() || (is_node(p, p.order[node]) && number_of(p, p.order[node]) == node);
    if (component.size < p.min_hits || !stands) component.size = 0;
    small = component.size <= WarpNodes::kMostNodes && component.links <= WarpNodes::kMostLinks;
  }
  const bool listed = component.size > 0;
  // One addition per warp, since all go to one place.
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::uint32_t upto = sum_upto(static_cast<std::uint32_t>(component.size));
  const unsigned smalls = __ballot_sync(kWarp, listed && small);
  unsigned long long first = 0;
  if (lane == 31 && upto > 0) {
    first = atomicAdd(&p.counters->listed, (static_cast<unsigned long long>(__popc(smalls)) << 32) + upto);
  }
  first = __shfl_sync(kWarp, first, 31);
  component.begin = static_cast<std::int32_t>(first & 0xffffffffu) + static_cast<std::int32_t>(upto) - component.size;
  const int front = static_cast<int>(first >> 32) + __popc(smalls & lanes_before(lane));
  if (node >= p.num_nodes) return;
  p.begin[node] = listed ? component.begin : -1;
  if (!listed) return;
  p.components[small ? front : p.num_nodes - 1 - atomicAdd(&p.counters->large, 1)] = component;
}

__global__ void __launch_bounds__(kThreads) group_kernel(const __grid_constant__ Problem p) {
  after_previous();
  const int node = thread_of_grid();
  if (node >= p.num_nodes) return;
  const std::int32_t begin = p.begin[p.parent[node]];
  if (begin >= 0) p.nodes[begin + p.position[node]] = node;
}

__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor) candidate_kernel(const __grid_constant__ Problem p) {
  __shared__ Shared shared;
  __shared__ BlockGroup::Scratch scratch;
  after_previous();
  // Large ones first: they take longest.
  const BlockGroup block{&scratch};
  const std::int32_t large = p.counters->large;
  for (auto i = static_cast<std::int32_t>(blockIdx.x); i < large;) {
    build_candidates(p, block, shared.block, p.components[p.num_nodes - 1 - i]);
    if (block.thread() == 0) i = static_cast<std::int32_t>(gridDim.x) + atomicAdd(&p.counters->next_large, 1);
    i = block.first(i);
  }
  const WarpGroup warp;
  const auto small = static_cast<std::int32_t>(p.counters->listed >> 32);
  for (auto i = static_cast<std::int32_t>(blockIdx.x * kWarps + threadIdx.x / 32); i < small;) {
    build_candidates(p, warp, shared.warp[threadIdx.x / 32], p.components[i]);
    if (warp.thread() == 0) i = static_cast<std::int32_t>(gridDim.x * kWarps) + atomicAdd(&p.counters->next_small, 1);
    i = warp.first(i);
  }
}

/// The tracks by their smallest hits.
__global__ void __launch_bounds__(kScanned)
    number_kernel(const __grid_constant__ Problem p, const __grid_constant__ TracksMemory tracks) {
  after_previous();
  const int hit = static_cast<int>(blockIdx.x * kScanned + threadIdx.x);
  const std::int32_t size = hit < p.num_nodes ? p.track_size[hit] : 0;
  const bool is_track = size > 0;
  std::uint32_t all = sum_of(p.tracks_of, static_cast<int>(blockIdx.x));
  std::uint32_t of_block;
  const auto track = static_cast<std::int32_t>(all + sum_before(is_track ? 1 : 0, of_block));
  all = sum_of(p.hits_of, static_cast<int>(blockIdx.x));
  const auto first = static_cast<std::int32_t>(all + sum_before(static_cast<std::uint32_t>(size), of_block));
  const std::int32_t from = is_track ? p.track_begin[hit] : 0;
  if (is_track) tracks.row_splits[track] = first;
  if (hit == max(p.num_nodes - 1, 0)) {
    tracks.row_splits[track + (is_track ? 1 : 0)] = first + size;
    *tracks.count = track + (is_track ? 1 : 0);
  }
  for (unsigned left = __ballot_sync(kWarp, is_track); left != 0; left &= left - 1) {
    const int lane = __ffs(left) - 1;
    const std::int32_t hits = __shfl_sync(kWarp, size, lane);
    const std::int32_t* const source = p.track_hits + __shfl_sync(kWarp, from, lane);
    std::int32_t* const target = tracks.hits + __shfl_sync(kWarp, first, lane);
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x % 32); i < hits; i += 32) target[i] = source[i];
  }
}

/// `layered`: with a graph's layers and order.
std::size_t lay_out(std::span<std::byte> memory, const TrackCuts& cuts, bool layered, Problem& p) {
  memory::Layout layout(memory);
  const auto n = static_cast<std::size_t>(p.num_nodes), edges = static_cast<std::size_t>(p.capacity);
  const bool chains = layered && cuts.chain_layers > 0;
  p.counters = layout.take<Counters>(1);
  p.rank = layered ? layout.take<std::int32_t>(n) : nullptr;
  p.parent = layout.take<std::int32_t>(n);
  p.degree = layout.take<std::uint32_t>(n);
  p.total = layout.take<unsigned long long>(n);
  p.junction = layout.take<std::uint8_t>(n);
  if (cuts.builder == TrackBuilder::junction_removal) {
    p.best_out = layout.take<unsigned long long>(n);
    p.best_in = layout.take<unsigned long long>(n);
  }
  p.links = layout.take<Link>(edges);
  p.first_out = layout.take<std::int32_t>(n);
  p.edge_first = chains ? layout.take<std::int32_t>(n) : nullptr;
  p.edge_next = chains ? layout.take<std::int32_t>(edges) : nullptr;
  p.reached = chains ? layout.take<std::uint8_t>(edges) : nullptr;
  p.owner = chains ? layout.take<std::int32_t>(n) : nullptr;
  p.position = layout.take<std::int32_t>(n);
  p.begin = layout.take<std::int32_t>(n);
  p.nodes = layout.take<std::int32_t>(n);
  p.components = layout.take<Component>(n);
  p.track_hits = layout.take<std::int32_t>(n);
  p.track_begin = layout.take<std::int32_t>(n);
  p.track_size = layout.take<std::int32_t>(n);
  const auto scanned = static_cast<std::size_t>(blocks_of(p.num_nodes, kScanned));
  p.tracks_of = layout.take<std::int32_t>(scanned);
  p.hits_of = layout.take<std::int32_t>(scanned);
  p.walk_nodes = layout.take<WalkNode>(n);
  p.next_in = layout.take<std::int32_t>(edges);
  p.starts = layout.take<std::int32_t>(n);
  p.stale = layout.take<std::int32_t>(n);
  p.found = layout.take<std::int32_t>(n);
  p.track_ends = layout.take<std::int32_t>(n);
  p.entries = layout.take<Entry>(n);
  return layout.bytes();
}

Problem sizes(std::int32_t num_nodes, std::int64_t num_edges) {
  Problem p{};
  p.num_nodes = num_nodes;
  p.capacity = static_cast<std::int32_t>(num_edges);
  return p;
}

int processors() {
  int device = 0, count = 0;
  call(cudaGetDevice(&device));
  call(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

}  // namespace

std::size_t build_tracks_bytes(std::int32_t num_nodes, std::int64_t num_edges, const TrackCuts& cuts) {
  Problem p = sizes(num_nodes, num_edges);
  return lay_out({}, cuts, true, p);
}

void build_tracks(const EdgeListView& edges, const HitGraphView* graph, const float* scores, const TrackCuts& cuts,
                  const TracksMemory& tracks, std::span<std::byte> workspace, const Execution& execution) {
  Problem p = sizes(edges.num_nodes, edges.size());
  lay_out(workspace, cuts, graph != nullptr, p);
  p.src = edges.src.data();
  p.dst = edges.dst.data();
  p.count = edges.count;
  if (graph != nullptr) {
    p.num_triplets = static_cast<std::int32_t>(graph->triplets.size());
    p.order = graph->order.data();
    p.layer = graph->layer.data();
    p.triplet_splits = graph->triplet_splits.data();
    p.triplets = graph->triplets.data();
    p.node_features = graph->node_features.data();
  }
  p.scores = scores;
  p.bad_row = execution.bad_row;
  p.walkthrough = cuts.builder == TrackBuilder::walkthrough;
  p.junction_removal = cuts.builder == TrackBuilder::junction_removal;
  p.cut = p.walkthrough ? cuts.walk_min : cuts.score;
  p.walk_add = cuts.walk_add;
  p.min_hits = std::max(cuts.min_hits, 1);
  p.chain_layers = cuts.chain_layers;

  const cudaStream_t stream = execution.stream;
  const int over_nodes = std::max(1, blocks_of(p.num_nodes, kThreads));
  const int over_edges = std::max(1, blocks_of(p.capacity, kThreads));
  clear_kernel<<<static_cast<unsigned>(std::max(over_nodes, over_edges)), kThreads, 0, stream>>>(p);
  if (p.junction_removal) launch_after(best_kernel, over_edges, kThreads, 0, stream, p);
  launch_after(edge_kernel, over_edges, kThreads, 0, stream, p);
  if (p.num_nodes > 0) {
    launch_after(component_kernel, over_nodes, kThreads, 0, stream, p);
    launch_after(list_kernel, over_nodes, kThreads, 0, stream, p);
    launch_after(group_kernel, over_nodes, kThreads, 0, stream, p);
    const int blocks = std::min(processors() * kBlocksPerProcessor, blocks_of(p.num_nodes, kWarps));
    launch_after(candidate_kernel, blocks, kThreads, 0, stream, p);
  }
  launch_after(number_kernel, std::max(1, blocks_of(p.num_nodes, kScanned)), kScanned, 0, stream, p, tracks);
  call(cudaGetLastError());
}

}  // namespace starling::tracks::cuda
