#include <cmath>

#include "cuda/block.cuh"
#include "cuda/warp.cuh"
#include "hit_graph/cuda/job.cuh"
#include "hit_graph/features.h"

// A sort by counting: hits are counted per bin, the counts are added up, and each hit takes the place that the number
// of hits of its bin that come before it says. So the order does not depend on which came first.
namespace starling::hit_graph::cuda {

using namespace starling::cuda;

namespace {

constexpr int kBinsPerThread = 16;
constexpr int kBinThreads = kBinsPerLayer / kBinsPerThread;
static_assert(kBinThreads == kScanned);

/// Radius, angle, layer and features of each hit; the extents of the layers.
__global__ void __launch_bounds__(kThreads) look_at_hits(const __grid_constant__ Job job) {
  extern __shared__ Extent seen[];  // [layers + 1]
  const Tables& w = job.windows;
  for (int l = threadIdx.x; l <= w.layers; l += kThreads) seen[l] = {};
  __syncthreads();
  const std::int32_t hit = blockIdx.x * kThreads + threadIdx.x;
  const unsigned active = __ballot_sync(kWarp, hit < job.num_hits);
  if (hit < job.num_hits) {
    const float x = job.x[hit], y = job.y[hit], z = job.z[hit];
    const float r = distance_from_beam(x, y), angle = arithmetic::arctan2(y, x);
    std::int32_t layer = -1;
    if (has_place(r, z)) {
      layer = find_layer(w.volume_id, w.layer_id, w.layers, job.volume_id[hit], job.layer_id[hit]);
    }
    job.point[hit] = {x, y, z, r};
    job.angle[hit] = angle;
    job.out.layer[hit] = layer;
    float row[kNodeFeatures];
    fill_node_features(r, angle, z, job.scales, row);
    auto* const features = reinterpret_cast<float4*>(job.out.node_features) + std::int64_t{hit} * 3;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      features[i] = {row[4 * i], row[4 * i + 1], row[4 * i + 2], row[4 * i + 3]};
    }
    // Lanes with hits of one layer, most often all of a warp, join theirs before they meet other warps.
    const int own = layer < 0 ? w.layers : layer;
    const unsigned peers = __match_any_sync(active, own);
    const std::uint32_t r_least = __reduce_max_sync(peers, ~to_ordered(r));
    const std::uint32_t r_most = __reduce_max_sync(peers, to_ordered(r));
    const std::uint32_t z_least = __reduce_max_sync(peers, ~to_ordered(z));
    const std::uint32_t z_most = __reduce_max_sync(peers, to_ordered(z));
    if (static_cast<int>(threadIdx.x % 32) == __ffs(peers) - 1) {
      Extent& extent = seen[own];
      atomicAdd(&extent.hits, __popc(peers));
      atomicMax(&extent.r_least, r_least);
      atomicMax(&extent.r_most, r_most);
      atomicMax(&extent.z_least, z_least);
      atomicMax(&extent.z_most, z_most);
    }
    if (!isfinite(x) || !isfinite(y) || !isfinite(z)) {
      atomicMax(&job.totals->bad, static_cast<std::uint32_t>(job.num_hits - hit));
    }
  }
  __syncthreads();
  for (int l = threadIdx.x; l <= w.layers; l += kThreads) {
    if (seen[l].hits == 0) continue;
    Extent& extent = job.extents[l];
    atomicAdd(&extent.hits, seen[l].hits);
    atomicMax(&extent.r_least, seen[l].r_least);
    atomicMax(&extent.r_most, seen[l].r_most);
    atomicMax(&extent.z_least, seen[l].z_least);
    atomicMax(&extent.z_most, seen[l].z_most);
  }
}

/// The grid of a layer with hits, but for their positions.
__device__ HitLayout::Layer grid_of(const Job& job, std::int32_t layer) {
  const Extent extent = job.extents[layer];
  HitLayout::Layer grid;
  grid.first_bin = layer * kBinsPerLayer;
  grid.r_min = from_ordered(~extent.r_least);
  grid.r_max = from_ordered(extent.r_most);
  grid.z_min = from_ordered(~extent.z_least);
  grid.z_max = from_ordered(extent.z_most);
  choose_axis(grid);
  return grid;
}

/// Counts the hits of each bin. Hits outside are first ordered by their x, of which a bin takes the highest bits.
__global__ void __launch_bounds__(kThreads) count_hits(const __grid_constant__ Job job) {
  after_previous();
  const std::int32_t hit = blockIdx.x * kThreads + threadIdx.x;
  if (hit >= job.num_hits) return;
  const std::int32_t layer = job.out.layer[hit];
  constexpr int kXBits = 14;
  static_assert(1 << kXBits == kBinsPerLayer);
  std::int32_t bin = 0;
  if (layer < 0) {
    bin = job.windows.layers * kBinsPerLayer + static_cast<std::int32_t>(__float_as_uint(job.x[hit]) >> (32 - kXBits));
  } else {
    const Point point = job.point[hit];
    bin = bin_of_hit(grid_of(job, layer), job.angle[hit], point.r, point.z);
  }
  job.bin[hit] = bin;
  job.nth[hit] = atomicAdd(&job.layout.bins[bin], 1);
}

/// One block per layer, and one for the hits outside: counts become the positions that bins begin at.
__global__ void __launch_bounds__(kBinThreads) add_up_bins(const __grid_constant__ Job job) {
  after_previous();
  const int layer = blockIdx.x, layers = job.windows.layers;
  unsigned long long before = 0;
  for (int l = threadIdx.x; l < layer; l += kBinThreads) before += job.extents[l].hits;
  __shared__ std::int32_t first;
  before = block_sum(before);
  if (threadIdx.x == 0) first = static_cast<std::int32_t>(before);
  __syncthreads();

  auto* const bins = reinterpret_cast<int4*>(job.layout.bins + std::int64_t{layer} * kBinsPerLayer) +
                     threadIdx.x * (kBinsPerThread / 4);
  int4 counts[kBinsPerThread / 4];
  std::uint32_t mine = 0, all;
#pragma unroll
  for (int i = 0; i < kBinsPerThread / 4; ++i) {
    counts[i] = bins[i];
    mine += counts[i].x + counts[i].y + counts[i].z + counts[i].w;
  }
  std::int32_t at = first + static_cast<std::int32_t>(sum_before(mine, all));
#pragma unroll
  for (int i = 0; i < kBinsPerThread / 4; ++i) {
    const int4 count = counts[i];
    bins[i] = {at, at + count.x, at + count.x + count.y, at + count.x + count.y + count.z};
    at += count.x + count.y + count.z + count.w;
  }
  if (threadIdx.x != 0) return;
  if (layer == layers) {
    job.layout.bins[std::int64_t{layers + 1} * kBinsPerLayer] = job.num_hits;
    job.totals->outside = all;
  } else {
    HitLayout::Layer grid{};
    if (all > 0) grid = grid_of(job, layer);
    grid.first_bin = layer * kBinsPerLayer;
    grid.first = first;
    grid.last = first + static_cast<std::int32_t>(all);
    job.layout.layers[layer] = grid;
  }
}

__global__ void __launch_bounds__(kThreads) gather_hits(const __grid_constant__ Job job) {
  after_previous();
  const std::int32_t hit = blockIdx.x * kThreads + threadIdx.x;
  if (hit < job.num_hits) job.gathered[job.layout.bins[job.bin[hit]] + job.nth[hit]] = hit;
}

__device__ PlaceKey key_of(const Job& job, std::int32_t hit) {
  return {__float_as_uint(job.x[hit]),
          __float_as_uint(job.y[hit]),
          __float_as_uint(job.z[hit]),
          job.volume_id[hit],
          job.layer_id[hit],
          job.module_id[hit],
          hit};
}

__global__ void __launch_bounds__(kThreads) order_hits(const __grid_constant__ Job job) {
  after_previous();
  const std::int32_t at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= job.num_hits) return;
  const std::int32_t hit = job.gathered[at], bin = job.bin[hit];
  const std::int32_t first = job.layout.bins[bin], last = job.layout.bins[bin + 1];
  std::int32_t position = first;
  if (last - first > 1) {
    const PlaceKey key = key_of(job, hit);
    for (std::int32_t other = first; other < last; ++other) {
      position += comes_before(key_of(job, job.gathered[other]), key) ? 1 : 0;
    }
  }
  job.out.order[position] = hit;
  job.layout.points[position] = job.point[hit];
  job.layout.phi[position] = job.angle[hit];
  job.layout.layer[position] = job.out.layer[hit];
  job.layout.module[position] = job.module_id[hit];
}

}  // namespace

void place_hits(const Job& job, Launches& launch) {
  const int layers = job.windows.layers;
  launch(look_at_hits, job.num_hits, job, kThreads, (layers + 1) * static_cast<int>(sizeof(Extent)));
  launch(count_hits, job.num_hits, job);
  launch(add_up_bins, std::int64_t{layers + 1} * kBinThreads, job, kBinThreads);
  launch(gather_hits, job.num_hits, job);
  launch(order_hits, job.num_hits, job);
}

}  // namespace starling::hit_graph::cuda
