#include "cuda/warp.cuh"
#include "hit_graph/cuda/job.cuh"
#include "hit_graph/doublets.h"
#include "hit_graph/limits.h"
#include "hit_graph/triplets.h"

namespace starling::hit_graph::cuda {

using namespace starling::cuda;

namespace {

// Of a hit of a whole event, 2 layer pairs, 12 rows of bins and 19 candidates are looked at, and 5 of these are
// doublets.
constexpr int kHitsPerWarp = 8;
// Doublets of a warp that shared memory holds; where there are more, they are searched again.
constexpr int kHeld = 192;

/// The window that a hit and a pair of layers have: what the candidates of one region are tested by.
struct alignas(16) Region {
  float k, z0;
  std::int32_t pair, own;  ///< own: the hit's number in the warp
};

/// The n-th doublet of a hit.
struct Held {
  Doublet doublet;
  std::int32_t own, n;
};

/// What a warp shares.
struct Shared {
  Point point[kHitsPerWarp];
  Region regions[32];
  Held held[kHeld];
  std::int32_t found[kHitsPerWarp], row[kHitsPerWarp];
};

template <typename T>
__device__ T from_lane(T value, int lane) {
  return __shfl_sync(kWarp, value, lane);
}
__device__ int sum_upto_lane(int value) { return static_cast<int>(sum_upto(static_cast<std::uint32_t>(value))); }

/// The lane that holds item `item` of all lanes' items, `upto` being their inclusive sum.
__device__ int holder_of(int upto, int item) {
  int lane = 0;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    if (from_lane(upto, lane + step - 1) <= item) lane += step;
  }
  return lane;
}

/// Calls sink(at, found) for each doublet that begins at the hits from `first` on, those of a hit in ascending order of
/// pair and place; `at` counts the warp's. Returns their number. Layer pairs of all these hits, the rows of bins that
/// they lead to, and the candidates in those are each dealt out to the lanes in turn, since a hit has few of each.
template <class Sink>
__device__ std::int32_t search(const Job& job, Shared& shared, std::int32_t first, std::int32_t placed,
                               const Sink& sink) {
  const Tables& w = job.windows;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const unsigned before = lanes_before(lane);
  float phi = 0;
  std::int32_t first_pair = 0;
  int pairs = 0;
  if (lane < kHitsPerWarp) {
    const std::int32_t position = first + lane;
    shared.found[lane] = 0;
    if (position < placed) {
      shared.point[lane] = job.layout.points[position];
      phi = job.layout.phi[position];
      const std::int32_t layer = job.layout.layer[position];
      first_pair = w.out_pairs[layer];
      pairs = w.out_pairs[layer + 1] - first_pair;
    }
  }
  std::int32_t found = 0;
  const int pairs_upto = sum_upto_lane(pairs), all_pairs = uniform(pairs_upto);
  for (int from_pair = 0; from_pair < all_pairs; from_pair += 32) {
    __syncwarp();  // points are there, and the regions of before have been read
    const int own = holder_of(pairs_upto, from_pair + lane) % kHitsPerWarp;
    const std::int32_t pair = from_lane(first_pair - (pairs_upto - pairs), own) + from_pair + lane;
    const float own_phi = from_lane(phi, own);
    std::int32_t first_bin = 0;  // of the region in the first row of the grid
    int bins = 0, first_row = 0, rows = 0;
    if (from_pair + lane < all_pairs) {
      const Point a = shared.point[own];
      const HitLayout::Layer target = job.layout.layers[w.pair_dst[pair]];
      float k_max = 0, z0_max = 0;
      SearchRegion region;
      if (widest_window(w, pair, a, k_max, z0_max) && search_region(a, target, k_max, z0_max, region)) {
        const int low = long_bin(target, region.low);
        first_bin = target.first_bin + low;
        bins = long_bin(target, region.high) + 1 - low;
        first_row = phi_bin(own_phi - region.half_phi);
        rows = phi_bin(own_phi + region.half_phi) + 1 - first_row;
        shared.regions[lane] = {k_max, z0_max, pair, own};
      }
    }
    __syncwarp();
    const int rows_upto = sum_upto_lane(rows), all_rows = uniform(rows_upto);
    for (int from_row = 0; from_row < all_rows; from_row += 32) {
      const int row = from_row + lane, region = holder_of(rows_upto, row);
      const int row_in_region = row - from_lane(rows_upto - rows, region);
      const int grid_row = (from_lane(first_row, region) + row_in_region) & (HitLayout::kPhiBins - 1);
      const std::int32_t bin = from_lane(first_bin, region) + grid_row * HitLayout::kLongBins;
      const int bins_of_row = from_lane(bins, region);
      std::int32_t first_of_row = 0, size = 0;
      if (row < all_rows) {
        first_of_row = job.layout.bins[bin];
        size = job.layout.bins[bin + bins_of_row] - first_of_row;
      }
      const int upto = sum_upto_lane(size), candidates = uniform(upto);
      for (int from = 0; from < candidates; from += 32) {
        const int candidate = from + lane, holder = holder_of(upto, candidate);
        const std::int32_t b = candidate + from_lane(first_of_row - (upto - size), holder);
        const Region of_b = shared.regions[from_lane(region, holder)];
        bool passes = false;
        if (candidate < candidates) {
          const Point a = shared.point[of_b.own], point = job.layout.points[b];
          DoubletFit fit;
          std::int32_t cell;
          passes = may_pass(doublet_bounds(a, of_b.k, of_b.z0), a, point) &&
                   passes_doublet(w, of_b.pair, of_b.k, of_b.z0, a, point, fit, cell);
        }
        const unsigned passing = __ballot_sync(kWarp, passes);
        if (passes) {
          const unsigned peers = __match_any_sync(passing, of_b.own);
          const std::int32_t n = shared.found[of_b.own] + __popc(peers & before);
          __syncwarp(passing);
          if ((peers & before) == 0) shared.found[of_b.own] = n + __popc(peers);
          sink(found + __popc(passing & before), Held{{b, of_b.pair}, of_b.own, n});
        }
        found += __popc(passing);
        __syncwarp();
      }
    }
  }
  return found;
}

__global__ void __launch_bounds__(kThreads) search_doublets(const __grid_constant__ Job job) {
  __shared__ Shared of_warps[kThreads / 32];
  after_previous();
  // Time is bounded, whatever the event: no warp begins once there are more doublets than an event has.
  if (*static_cast<const volatile unsigned long long*>(&job.totals->doublets) > kMostDoublets) return;
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  Shared& shared = of_warps[warp];
  const std::int32_t first = (blockIdx.x * (kThreads / 32) + warp) * kHitsPerWarp, placed = job.placed();
  if (first >= placed) return;  // the whole warp
  const std::int32_t all = search(job, shared, first, placed, [&](int at, const Held& found) {
    if (at < kHeld) shared.held[at] = found;
  });
  const std::int32_t size = lane < kHitsPerWarp ? shared.found[lane] : 0;
  const std::int32_t upto = sum_upto_lane(size);
  unsigned long long taken = 0;
  if (lane == 0 && all > 0) taken = atomicAdd(&job.totals->doublets, static_cast<unsigned long long>(all));
  taken = from_lane(taken, 0) + static_cast<unsigned long long>(upto - size);
  if (lane < kHitsPerWarp) {
    const bool fits = taken + size <= static_cast<unsigned long long>(job.capacity.doublets);
    const std::int32_t row = fits ? static_cast<std::int32_t>(taken) : -1;
    shared.row[lane] = row;
    if (first + lane < placed) job.doublets_from[first + lane] = {max(row, 0), size};
  }
  __syncwarp();
  const auto keep = [&](const Held& found) {
    const std::int32_t row = shared.row[found.own];
    if (row < 0) return;
    job.doublets[row + found.n] = found.doublet;
    job.doublet_src[row + found.n] = first + found.own;
  };
  if (all > kHeld) {
    search(job, shared, first, placed, [&](int, const Held& found) { keep(found); });
  } else {
    for (int at = lane; at < all; at += 32) keep(shared.held[at]);
  }
}

/// The sum over the lanes, in all of them.
__device__ unsigned long long sum_of_lanes(std::uint32_t value) {
  // Below 2^25 each, the limit of doublets.
  const std::uint32_t low = __reduce_add_sync(kWarp, value & 0xffffu), high = __reduce_add_sync(kWarp, value >> 16);
  return (static_cast<unsigned long long>(high) << 16) + low;
}

/// One thread per doublet a → b: tests all doublets b → c.
__global__ void __launch_bounds__(kThreads) search_triplets(const __grid_constant__ Job job) {
  after_previous();
  if (!job.doublets_fit()) return;
  const auto doublets = static_cast<std::int32_t>(job.totals->doublets);
  const std::int32_t ab = blockIdx.x * kThreads + threadIdx.x;
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (ab - lane >= doublets) return;  // the whole warp
  Doublet doublet{};
  Row row{};
  if (ab < doublets) {
    doublet = job.doublets[ab];
    row = job.doublets_from[doublet.dst];
  }
  // Counted before they are tested: time is bounded, whatever the event.
  const unsigned long long pairs = sum_of_lanes(row.size);
  unsigned long long before = 0;
  if (lane == 0 && pairs > 0) before = atomicAdd(&job.totals->pairs, pairs);
  const bool too_many = from_lane(before, 0) + pairs > kMostTested;
  std::int32_t found = 0;
  if (row.size > 0 && !too_many) {
    const Tables& w = job.windows;
    const std::int32_t source = job.doublet_src[ab];
    const Point a = job.layout.points[source], b = job.layout.points[doublet.dst];
    const Step step = make_step(a, b);
    const float cot = triplet_cot(step);
    const std::int32_t* const triple_of =
        w.triple_of + w.triple_rows[doublet.pair] - w.out_pairs[job.layout.layer[doublet.dst]];
    std::int32_t pair = -1, triple = -1;
    TripletWindow window{};
    for (std::int32_t bc = row.first; bc < row.first + row.size; ++bc) {
      const Doublet second = job.doublets[bc];
      if (second.pair != pair) {
        pair = second.pair;
        triple = triple_of[pair];
        if (triple >= 0) window = triplet_window(w, triple, step, cot);
      }
      if (triple < 0 || !passes_triplet(window, a, step, make_step(b, job.layout.points[second.dst]))) continue;
      ++found;
      job.kept[bc] = 1;
      job.on_edge[second.dst] = 1;
    }
    if (found > 0) job.kept[ab] = job.on_edge[source] = job.on_edge[doublet.dst] = 1;
  }
  if (ab < doublets) job.triplets_of[ab] = found;
  const unsigned long long triplets = sum_of_lanes(found);
  if (lane == 0 && triplets > 0) atomicAdd(&job.totals->triplets, triplets);
}

}  // namespace

void find_doublets(const Job& job, Launches& launch) {
  launch(search_doublets, std::int64_t{job.num_hits} * (32 / kHitsPerWarp), job);
}

void find_triplets(const Job& job, Launches& launch) { launch(search_triplets, job.capacity.doublets, job); }

}  // namespace starling::hit_graph::cuda
