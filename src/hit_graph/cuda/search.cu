#include "cuda/warp.cuh"
#include "hit_graph/cuda/block.cuh"
#include "hit_graph/cuda/job.cuh"
#include "hit_graph/doublets.h"
#include "hit_graph/limits.h"
#include "hit_graph/triplets.h"

namespace starling::hit_graph::cuda {

using namespace starling::cuda;

namespace {

// Of a hit of a whole event, 2 layer pairs, 12 rows of bins and 19 candidates are looked at, and 5 of these are
// doublets. So 8 lanes share a hit: pairs, rows and candidates are each dealt out to them in turn.
constexpr int kLanes = 8;
constexpr int kHitsPerBlock = kThreads / kLanes;
constexpr int kHeld = 64;  // doublets per hit that shared memory holds; where there are more, they are searched again

template <typename T>
__device__ T from_lane(T value, int lane) {
  return __shfl_sync(kWarp, value, lane, kLanes);
}

/// Inclusive sum over the lanes of a hit.
__device__ int sum_upto_lane(int value, int lane) {
#pragma unroll
  for (int step = 1; step < kLanes; step *= 2) {
    const int before = __shfl_up_sync(kWarp, value, step, kLanes);
    if (lane >= step) value += before;
  }
  return value;
}

/// The lane that holds item `item` of all lanes' items, `upto` being their inclusive sum.
__device__ int holder_of(int upto, int item) {
  int lane = 0;
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) {
    if (from_lane(upto, lane + step - 1) <= item) lane += step;
  }
  return lane;
}

/// Calls sink(n, doublet) for the n-th doublet that begins at `position`, −1 = none, in ascending order of pair and
/// place, and gives their number. Hits that share a warp take as many turns as the longest of them: exchanges need all
/// lanes.
template <class Sink>
__device__ int search(const Job& job, std::int32_t position, const Sink& sink) {
  const Tables& w = job.windows;
  const int lane = threadIdx.x % kLanes;
  const unsigned before = lanes_before(lane);
  Point a{};
  float phi = 0;
  std::int32_t first_pair = 0, last_pair = 0;
  if (position >= 0) {
    a = job.layout.points[position];
    phi = job.layout.phi[position];
    const std::int32_t layer = job.layout.layer[position];
    first_pair = w.out_pairs[layer];
    last_pair = w.out_pairs[layer + 1];
  }
  int found = 0;
  for (std::int32_t pairs = first_pair; __any_sync(kWarp, pairs < last_pair); pairs += kLanes) {
    const std::int32_t pair = pairs + lane;
    float k_max = 0, z0_max = 0;
    std::int32_t first_bin = 0;  // of the region in the first row of the grid
    int bins = 0, first_row = 0, rows = 0;
    if (pair < last_pair) {
      const HitLayout::Layer target = job.layout.layers[w.pair_dst[pair]];
      SearchRegion region;
      if (widest_window(w, pair, a, k_max, z0_max) && search_region(a, target, k_max, z0_max, region)) {
        const int low = long_bin(target, region.low);
        first_bin = target.first_bin + low;
        bins = long_bin(target, region.high) + 1 - low;
        first_row = phi_bin(phi - region.half_phi);
        rows = phi_bin(phi + region.half_phi) + 1 - first_row;
      }
    }
    const int rows_upto = sum_upto_lane(rows, lane), all_rows = from_lane(rows_upto, kLanes - 1);
    for (int from_row = 0; __any_sync(kWarp, from_row < all_rows); from_row += kLanes) {
      const int row = from_row + lane, region = holder_of(rows_upto, row);
      const int row_in_region = row - from_lane(rows_upto - rows, region);
      const int grid_row = (from_lane(first_row, region) + row_in_region) & (HitLayout::kPhiBins - 1);
      const std::int32_t bin = from_lane(first_bin, region) + grid_row * HitLayout::kLongBins;
      const int bins_of_row = from_lane(bins, region);
      std::int32_t first = 0, size = 0;
      if (row < all_rows) {
        first = job.layout.bins[bin];
        size = job.layout.bins[bin + bins_of_row] - first;
      }
      const int upto = sum_upto_lane(size, lane), candidates = from_lane(upto, kLanes - 1);
      for (int from = 0; __any_sync(kWarp, from < candidates); from += kLanes) {
        const int candidate = from + lane, holder = holder_of(upto, candidate);
        const std::int32_t b = candidate + from_lane(first - (upto - size), holder);
        const int region_of_b = from_lane(region, holder);
        const float k = from_lane(k_max, region_of_b), z0 = from_lane(z0_max, region_of_b);
        const std::int32_t pair_of_b = pairs + region_of_b;
        bool passes = false;
        if (candidate < candidates) {
          const Point point = job.layout.points[b];
          DoubletFit fit;
          std::int32_t cell;
          passes =
              may_pass(doublet_bounds(a, k, z0), a, point) && passes_doublet(w, pair_of_b, k, z0, a, point, fit, cell);
        }
        const unsigned passing = __ballot_sync(kWarp, passes) >> (threadIdx.x % 32 - lane) & ((1u << kLanes) - 1);
        if (passes) sink(found + __popc(passing & before), Doublet{b, pair_of_b});
        found += __popc(passing);
      }
    }
  }
  return found;
}

__global__ void __launch_bounds__(kThreads) search_doublets(const __grid_constant__ Job job) {
  after_previous();
  // Time is bounded, whatever the event: no block begins once there are more doublets than an event has.
  __shared__ bool too_many;
  if (threadIdx.x == 0) {
    too_many = *static_cast<const volatile unsigned long long*>(&job.totals->doublets) > kMostDoublets;
  }
  __syncthreads();
  if (too_many) return;
  __shared__ Doublet held[kHitsPerBlock][kHeld];
  const int own = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const std::int32_t at = blockIdx.x * kHitsPerBlock + own, placed = job.placed();
  const std::int32_t position = at < placed ? at : -1;
  const int size = search(job, position, [&](int n, const Doublet& doublet) {
    if (n < kHeld) held[own][n] = doublet;
  });
  const unsigned long long mine = take_places(lane == 0 ? size : 0, &job.totals->doublets);
  const auto first = static_cast<unsigned long long>(__shfl_sync(kWarp, mine, 0, kLanes));
  const bool fits = first + size <= static_cast<unsigned long long>(job.capacity.doublets);
  __syncwarp();
  if (position >= 0 && lane == 0) job.doublets_from[position] = {static_cast<std::int32_t>(fits ? first : 0), size};
  const auto keep = [&](int n, const Doublet& doublet) {
    if (!fits) return;
    job.doublets[first + n] = doublet;
    job.doublet_src[first + n] = position;
  };
  if (__any_sync(kWarp, size > kHeld)) {
    search(job, position, keep);
  } else {
    for (int n = lane; n < size; n += kLanes) keep(n, held[own][n]);
  }
}

/// One thread per doublet a → b: tests all doublets b → c.
__global__ void __launch_bounds__(kThreads) search_triplets(const __grid_constant__ Job job) {
  after_previous();
  if (!job.doublets_fit()) return;
  const auto doublets = static_cast<std::int32_t>(job.totals->doublets);
  const std::int32_t ab = blockIdx.x * kThreads + threadIdx.x;
  if (static_cast<std::int32_t>(blockIdx.x * kThreads) >= doublets) return;  // the whole block
  Doublet doublet{};
  Row row{};
  if (ab < doublets) {
    doublet = job.doublets[ab];
    row = job.doublets_from[doublet.dst];
  }
  // Counted before they are tested: time is bounded, whatever the event.
  __shared__ bool too_many;
  const unsigned long long pairs = block_sum(row.size);
  if (threadIdx.x == 0) too_many = atomicAdd(&job.totals->pairs, pairs) + pairs > kMostTested;
  __syncthreads();
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
  const unsigned long long triplets = block_sum(found);
  if (threadIdx.x == 0 && triplets > 0) atomicAdd(&job.totals->triplets, triplets);
}

}  // namespace

void find_doublets(const Job& job, Launches& launch) {
  launch(search_doublets, std::int64_t{job.num_hits} * kLanes, job);
}

void find_triplets(const Job& job, Launches& launch) { launch(search_triplets, job.capacity.doublets, job); }

}  // namespace starling::hit_graph::cuda
