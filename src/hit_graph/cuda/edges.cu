#include "cuda/block.cuh"
#include "hit_graph/cuda/job.cuh"
#include "hit_graph/features.h"
#include "hit_graph/limits.h"
#include "hit_graph/overlaps.h"
#include "hit_graph/triplets.h"

// Edges take places hit by hit, in any order. The index of each is the number of edges of the hits before its own,
// which a scan gives, and of those of its hit that end before it does.
namespace starling::hit_graph::cuda {

using namespace starling::cuda;

__device__ bool Job::whole() const {
  const Totals& t = *totals;
  return t.bad == 0 && doublets_fit() && t.pairs <= kMostTested &&
         t.edges <= static_cast<unsigned long long>(capacity.edges) &&
         t.triplets <= static_cast<unsigned long long>(capacity.triplets);
}

namespace {

constexpr int kLanes = 8;  // share a hit
constexpr int kHitsPerBlock = kThreads / kLanes;
constexpr int kHeld = 32;  // edges per hit that shared memory holds; where there are more, they are searched again

struct End {
  std::int32_t dst, doublet;
};

/// Calls visit(end) for this lane's share of the edges that begin at `position`: the doublets kept, and the overlaps of
/// which a hit is on one of those. Lanes take doublets, then rows of bins, in turn.
template <class Visit>
__device__ void for_each_edge(const Job& job, std::int32_t position, int lane, const Visit& visit) {
  const Row row = job.doublets_from[position];
  for (std::int32_t doublet = row.first + lane; doublet < row.first + row.size; doublet += kLanes) {
    if (job.kept[doublet] != 0) visit(End{job.out.order[job.doublets[doublet].dst], doublet});
  }
  OverlapRegion region;
  if (!overlap_region(job.layout, job.windows, position, region)) return;
  const bool on_edge = job.on_edge[position] != 0;
  for (int bins = lane; bins < region.rows; bins += kLanes) {
    for_each_overlap_in_row(job.layout, job.windows, position, region, bins,
                            [&](std::int32_t other, bool starts, const OverlapFit&) {
                              if (starts && (on_edge || job.on_edge[other] != 0)) visit(End{job.out.order[other], -1});
                            });
  }
}

__global__ void __launch_bounds__(kThreads) gather_edges(const __grid_constant__ Job job) {
  __shared__ End held[kHitsPerBlock][kHeld];
  __shared__ int found[kHitsPerBlock];
  after_previous();
  if (!job.doublets_fit()) return;
  const int own = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const std::int32_t position = blockIdx.x * kHitsPerBlock + own;
  const bool placed = position < job.placed();
  if (lane == 0) found[own] = 0;
  __syncwarp();
  if (placed) {
    for_each_edge(job, position, lane, [&](const End& end) {
      const int n = atomicAdd(&found[own], 1);
      if (n < kHeld) held[own][n] = end;
    });
  }
  __syncwarp();
  const int size = found[own];
  const unsigned long long mine = take_places(lane == 0 ? size : 0, &job.totals->edges);
  const auto first = static_cast<unsigned long long>(__shfl_sync(kWarp, mine, 0, kLanes));
  if (position >= job.num_hits) return;
  const std::int32_t hit = job.out.order[position];
  if (lane == 0) job.edges_from[hit] = size;
  if (size == 0 || first + size > static_cast<unsigned long long>(job.capacity.edges)) return;
  Edge* const edges = job.edges + first;
  if (lane == 0) atomicAdd(&job.sums_of_out[hit / kScanned], size);
  if (size > kHeld) {
    const std::int32_t row = ~static_cast<std::int32_t>(first);
    for_each_edge(job, position, lane, [&](const End& end) {
      edges[atomicAdd(&found[own], 1) - size] = {hit, end.dst, end.doublet, row};  // the count goes on from `size`
    });
    return;
  }
  for (int n = lane; n < size; n += kLanes) {
    const End end = held[own][n];
    std::int32_t rank = 0;
    for (int other = 0; other < size; ++other) rank += held[own][other].dst < end.dst ? 1 : 0;
    edges[n] = {hit, end.dst, end.doublet, rank};
  }
}

/// The first edge of each hit.
__global__ void __launch_bounds__(kScanned) add_up_edges(const __grid_constant__ Job job) {
  after_previous();
  if (!job.whole()) return;
  const std::int32_t hit = blockIdx.x * kScanned + threadIdx.x;
  const std::uint32_t first = sum_of(job.sums_of_out, blockIdx.x);
  std::uint32_t all;
  const std::uint32_t before = sum_before(hit < job.num_hits ? job.edges_from[hit] : 0, all);
  if (hit < job.num_hits) job.first_edge[hit] = static_cast<std::int32_t>(first + before);
  if (hit == job.num_hits - 1) job.first_edge[job.num_hits] = static_cast<std::int32_t>(first + all);
}

__device__ std::int32_t saturated(unsigned long long value) {
  return value > 0x7fffffff ? 0x7fffffff : static_cast<std::int32_t>(value);
}

__device__ void write_counts(const Job& job, bool whole) {
  const Totals& totals = *job.totals;
  const bool known = job.doublets_fit() && totals.pairs <= kMostTested;
  HitGraphCounts& counts = *job.out.counts;
  counts.doublets = saturated(totals.doublets);
  counts.edges = known ? saturated(totals.edges) : -1;
  counts.triplets = known ? saturated(totals.triplets) : -1;
  counts.hits_outside = static_cast<std::int32_t>(totals.outside);
  counts.bad_hit = totals.bad == 0 ? -1 : job.num_hits - static_cast<std::int32_t>(totals.bad);
  counts.pairs = static_cast<std::int64_t>(totals.pairs);
  *job.out.edge_count = whole ? static_cast<std::int32_t>(totals.edges) : 0;
  if (!whole) job.out.triplet_splits[0] = 0;
}

__global__ void __launch_bounds__(kThreads) order_edges(const __grid_constant__ Job job) {
  after_previous();
  const bool whole = job.whole();
  const std::int32_t at = blockIdx.x * kThreads + threadIdx.x;
  if (at == 0) write_counts(job, whole);
  if (!whole || at >= static_cast<std::int32_t>(job.totals->edges)) return;
  const Edge edge = job.edges[at];
  std::int32_t rank = edge.rank;
  if (rank < 0) {
    rank = 0;
    const std::int32_t row = ~edge.rank, row_end = row + job.edges_from[edge.src];
    for (std::int32_t other = row; other < row_end; ++other) rank += job.edges[other].dst < edge.dst ? 1 : 0;
  }
  const std::int32_t index = job.first_edge[edge.src] + rank;
  job.out.src[index] = edge.src;
  job.out.dst[index] = edge.dst;
  float row[kEdgeFeatures];
  const auto features_of = [&](std::int32_t hit) { return job.out.node_features + std::int64_t{hit} * kNodeFeatures; };
  fill_edge_features(features_of(edge.src), features_of(edge.dst), scaled_half_turn(job.scales), row);
  auto* const features = reinterpret_cast<float2*>(job.out.edge_features) + std::int64_t{index} * 3;
#pragma unroll
  for (int i = 0; i < 3; ++i) features[i] = {row[2 * i], row[2 * i + 1]};
  const bool overlap = edge.doublet < 0;
  const std::int32_t triplets = overlap ? 0 : job.triplets_of[edge.doublet];
  job.edge_pair[index] = overlap ? -1 : job.doublets[edge.doublet].pair;
  job.edge_triplets[index] = triplets;
  if (triplets > 0) atomicAdd(&job.sums_of_edges[index / kScanned], triplets);
}

/// The first triplet of each edge.
__global__ void __launch_bounds__(kScanned) add_up_triplets(const __grid_constant__ Job job) {
  after_previous();
  if (!job.whole()) return;
  const auto edges = static_cast<std::int32_t>(job.totals->edges);
  const auto block_begin = static_cast<std::int32_t>(blockIdx.x * kScanned);
  if (block_begin > edges) return;  // the whole block
  const std::int32_t edge = block_begin + static_cast<std::int32_t>(threadIdx.x);
  const std::uint32_t first = sum_of(job.sums_of_edges, blockIdx.x);
  std::uint32_t all;
  const std::uint32_t before = sum_before(edge < edges ? job.edge_triplets[edge] : 0, all);
  if (edge <= edges) job.out.triplet_splits[edge] = static_cast<std::int32_t>(first + before);
}

/// One thread per edge a → b tests the edges b → c again, which stand in order.
__global__ void __launch_bounds__(kThreads) write_triplets(const __grid_constant__ Job job) {
  after_previous();
  if (!job.whole()) return;
  const std::int32_t ab = blockIdx.x * kThreads + threadIdx.x;
  if (ab >= static_cast<std::int32_t>(job.totals->edges) || job.edge_triplets[ab] == 0) return;
  const Tables& w = job.windows;
  const std::int32_t middle = job.out.dst[ab];
  const Point a = job.point[job.out.src[ab]], b = job.point[middle];
  const Step step = make_step(a, b);
  const float cot = triplet_cot(step);
  const std::int32_t* const triple_of =
      w.triple_of + w.triple_rows[job.edge_pair[ab]] - w.out_pairs[job.out.layer[middle]];
  std::int32_t at = job.out.triplet_splits[ab];
  for (std::int32_t bc = job.first_edge[middle]; bc < job.first_edge[middle + 1]; ++bc) {
    const std::int32_t pair = job.edge_pair[bc];
    const std::int32_t triple = pair < 0 ? -1 : triple_of[pair];
    if (triple < 0) continue;
    const TripletWindow window = triplet_window(w, triple, step, cot);
    if (passes_triplet(window, a, step, make_step(b, job.point[job.out.dst[bc]]))) job.out.triplets[at++] = bc;
  }
}

}  // namespace

void write_edges(const Job& job, Launches& launch) {
  if (job.num_hits > 0) {
    launch(gather_edges, std::int64_t{job.num_hits} * kLanes, job);
    launch(add_up_edges, job.num_hits, job, kScanned);
  }
  launch(order_edges, job.capacity.edges, job);
  launch(add_up_triplets, std::int64_t{job.capacity.edges} + 1, job, kScanned);
  launch(write_triplets, job.capacity.edges, job);
}

}  // namespace starling::hit_graph::cuda
