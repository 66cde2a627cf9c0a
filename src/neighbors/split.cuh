#pragma once

#include <cuda_runtime.h>

#include <bit>

#include "neighbors/build.cuh"
#include "neighbors/cuda_call.h"
#include "neighbors/launch_after.cuh"

// Splits the events of more than one group into groups, a level of splits a round. The places of a group are fixed
// multiples of 1024, so a split does not halve its segment: it falls on the place whose group number has the most
// trailing zero bits, and round `bit` does all splits whose number has its last one there. Thus 32 groups of a region
// are also a subtree. A round is two kernels, a block a group of places: a histogram of each segment along the widest
// dimension of its box, then each point to its side of the bin that holds the split. Points of that bin go either way.
namespace starling::neighbors_cuda {
namespace {

/// A part of an event still to be split, or where number is 0, not any more.
struct Segment {
  int first, last;
  int number = 0;
  int bit = -1;  // its round: the highest bit in which its groups differ

  __device__ Segment(int first_place, int last_place) : first(first_place), last(last_place) {
    const int before = first / kGroupPoints, end = (last - 1) / kGroupPoints;
    if (first >= last || before == end) return;
    bit = 31 - __clz(before ^ end);
    number = end & ~((1 << bit) - 1);
  }
  __device__ int split() const { return number * kGroupPoints; }
};

/// The part of an event that round `bit` finds around a group: what the rounds before have left of it.
__device__ inline Segment segment_of(int begin, int end, int group, int bit) {
  const int low = (group >> (bit + 1) << (bit + 1)) * kGroupPoints;
  const int high = low + (kGroupPoints << (bit + 1));
  return Segment(max(begin, low), min(end, high));
}

/// Which bin of its segment a point falls in.
struct Binning {
  int dimension = 0;
  float origin = 0, scale = 0;

  __device__ Binning(const std::uint32_t* box, int dimensions) {
    float extent = -1;
    for (int d = 0; d < dimensions; ++d) {
      const float low = from_ordered(~box[2 * d]);
      const float width = from_ordered(box[2 * d + 1]) - low;
      if (d > 0 && !(width > extent)) continue;
      extent = width;
      dimension = d;
      origin = low;
    }
    scale = extent > 0 ? (kBins - 1) / extent : 0;
  }
  __device__ int operator()(float x) const {
    return static_cast<int>(fminf(fmaxf((x - origin) * scale, 0.0f), kBins - 1.0f));
  }
};

/// Widens the boxes of two segments by the points of the threads that are inside (0 or 1, else −1). All threads of a
/// block call it. The block's own boxes come first: a warp's atomics on device memory would cost more than all else.
template <typename T>
__device__ inline void widen(const Build<T>& build, const Segment& zero, const Segment& one, int inside,
                             std::int32_t row) {
  __shared__ std::uint32_t boxes[2][2 * kMaxPadded];
  const int dimensions = build.tree.dimensions, thread = threadIdx.x;
  if (thread < 2 * kMaxPadded) boxes[0][thread] = boxes[1][thread] = 0;
  __syncthreads();
  const T* const x = build.tree.points + static_cast<std::int64_t>(row) * dimensions;
  const bool has[2] = {__any_sync(kWarp, inside == 0) && zero.number != 0,
                       __any_sync(kWarp, inside == 1) && one.number != 0};
  for (int d = 0; (has[0] || has[1]) && d < dimensions; ++d) {
    const std::uint32_t value = inside >= 0 ? to_ordered(static_cast<float>(x[d])) : 0;
    for (int which = 0; which < 2; ++which) {
      if (!has[which]) continue;
      const std::uint32_t low = warp_max(inside == which ? ~value : 0);
      const std::uint32_t high = warp_max(inside == which ? value : 0);
      if (thread % 32 != 0) continue;
      atomicMax(&boxes[which][2 * d], low);
      atomicMax(&boxes[which][2 * d + 1], high);
    }
  }
  __syncthreads();
  const int which = thread / (2 * kMaxPadded), at = thread % (2 * kMaxPadded);
  if (which < 2 && boxes[which][at] != 0)
    atomicMax(&build.split.box[(which == 0 ? zero : one).number * 2 * dimensions + at], boxes[which][at]);
  __syncthreads();
}

template <typename T>
__global__ void __launch_bounds__(kGroupPoints)
    start_kernel(const __grid_constant__ Build<T> build, std::int32_t* order) {
  __shared__ int bounds[4];
  after_previous();
  const int n = build.tree.num_points, group = blockIdx.x;
  const int place = group * kGroupPoints + static_cast<int>(threadIdx.x);
  if (threadIdx.x < 2) {
    const int at = threadIdx.x == 0 ? group * kGroupPoints : min((group + 1) * kGroupPoints, n) - 1;
    const int event = build.row_splits == nullptr ? 0 : find_event(build.row_splits, build.num_events, at);
    bounds[2 * threadIdx.x] = build.row_splits == nullptr ? 0 : build.row_splits[event];
    bounds[2 * threadIdx.x + 1] = build.row_splits == nullptr ? n : build.row_splits[event + 1];
  }
  __syncthreads();
  int4 events = {bounds[0], bounds[1], bounds[2], bounds[3]};
  if (events.x == events.z) events.z = events.w = 0;
  if (threadIdx.x == 0) build.split.events[group] = events;
  if (place < n) order[place] = place;
  const Segment one(events.x, events.y), two(events.z, events.w);
  const int inside = place >= one.first && place < one.last ? 0 : place >= two.first && place < two.last ? 1 : -1;
  widen(build, one, two, inside, place);
}

template <typename T>
__global__ void __launch_bounds__(kGroupPoints)
    histogram_kernel(const __grid_constant__ Build<T> build, int bit, const std::int32_t* order) {
  __shared__ std::uint32_t histogram[kBins];
  after_previous();
  const int thread = threadIdx.x, group = blockIdx.x, place = group * kGroupPoints + thread;
  const int dimensions = build.tree.dimensions;
  const int4 events = build.split.events[group];
  for (int which = 0; which < 2; ++which) {
    const Segment segment =
        which == 0 ? segment_of(events.x, events.y, group, bit) : segment_of(events.z, events.w, group, bit);
    if (segment.bit != bit) continue;
    histogram[thread] = 0;
    __syncthreads();
    if (place >= segment.first && place < segment.last) {
      const Binning bin(build.split.box + segment.number * 2 * dimensions, dimensions);
      const std::int64_t row = order[place];
      atomicAdd(&histogram[bin(static_cast<float>(build.tree.points[row * dimensions + bin.dimension]))], 1);
    }
    __syncthreads();
    if (histogram[thread] != 0) atomicAdd(&build.split.histogram[segment.number * kBins + thread], histogram[thread]);
    __syncthreads();
  }
}

/// Exclusive sum over the block's threads.
__device__ inline int block_sum_before(int value, int* warp_sums) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int sum = value;
  for (int step = 1; step < 32; step *= 2) {
    const int before = __shfl_up_sync(kWarp, sum, step);
    if (lane >= step) sum += before;
  }
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    int total = warp_sums[lane];
    for (int step = 1; step < 32; step *= 2) {
      const int before = __shfl_up_sync(kWarp, total, step);
      if (lane >= step) total += before;
    }
    warp_sums[lane] = total;
  }
  __syncthreads();
  const int before = warp == 0 ? 0 : warp_sums[warp - 1];
  __syncthreads();
  return before + sum - value;
}

template <typename T>
__global__ void __launch_bounds__(kGroupPoints)
    side_kernel(const __grid_constant__ Build<T> build, int bit, const std::int32_t* order, std::int32_t* new_order) {
  __shared__ int warp_sums[32];
  __shared__ int split_bin, split_rest;  // points of the bin that go left
  __shared__ int counts[3], bases[3];    // points below, in and above that bin; where they go
  after_previous();
  const int thread = threadIdx.x, group = blockIdx.x, place = group * kGroupPoints + thread;
  const int dimensions = build.tree.dimensions;
  const bool real = place < build.tree.num_points;
  const std::int32_t row = real ? order[place] : 0;
  const int4 events = build.split.events[group];
  int new_place = place;
  for (int which = 0; which < 2; ++which) {
    const Segment segment =
        which == 0 ? segment_of(events.x, events.y, group, bit) : segment_of(events.z, events.w, group, bit);
    if (segment.bit != bit) continue;
    const bool inside = place >= segment.first && place < segment.last;
    // Long before it is needed: these loads wait for one another.
    int bin_of_point = -1;
    if (inside) {
      const Binning bin(build.split.box + segment.number * 2 * dimensions, dimensions);
      bin_of_point =
          bin(static_cast<float>(build.tree.points[static_cast<std::int64_t>(row) * dimensions + bin.dimension]));
    }
    const int wanted = segment.split() - segment.first;
    const int size = static_cast<int>(build.split.histogram[segment.number * kBins + thread]);
    const int below = block_sum_before(size, warp_sums);
    if (below <= wanted && wanted < below + size) {
      split_bin = thread;
      split_rest = wanted - below;
    }
    if (thread < 3) counts[thread] = 0;
    __syncthreads();
    const int side = !inside ? -1 : bin_of_point < split_bin ? 0 : bin_of_point == split_bin ? 1 : 2;
    int rank = 0;
    for (int s = 0; s < 3; ++s) {
      const unsigned lanes = __ballot_sync(kWarp, side == s);
      int base = 0;
      if (lanes != 0 && thread % 32 == 0) base = atomicAdd(&counts[s], __popc(lanes));
      base = __shfl_sync(kWarp, base, 0);
      if (side == s) rank = base + __popc(lanes & ((1u << thread % 32) - 1));
    }
    __syncthreads();
    if (thread == 0) {
      std::int32_t* const sides = build.split.sides + segment.number * 3;
      bases[1] = counts[1] == 0 ? 0 : atomicAdd(&sides[1], counts[1]);
      const int to_left = min(max(split_rest - bases[1], 0), counts[1]);
      bases[0] = segment.first + atomicAdd(&sides[0], counts[0] + to_left);
      bases[2] = segment.split() + atomicAdd(&sides[2], counts[2] + counts[1] - to_left);
    }
    __syncthreads();
    if (inside) {
      const int to_left = min(max(split_rest - bases[1], 0), counts[1]);
      if (side == 0 || (side == 1 && rank < to_left))
        new_place = bases[0] + (side == 0 ? rank : counts[0] + rank);
      else
        new_place = bases[2] + (side == 2 ? rank : counts[2] + rank - to_left);
    }
    const Segment left(segment.first, segment.split()), right(segment.split(), segment.last);
    widen(build, left, right, inside ? new_place >= segment.split() : -1, row);
  }
  if (real) new_order[new_place] = row;
}

template <typename T>
void split_events(const Build<T>& build, cudaStream_t stream) {
  const int groups = build.tree.num_nodes[1];
  const int rounds = std::bit_width(static_cast<unsigned>(groups - 1));
  call(cudaMemsetAsync(build.split.zeroed, 0, build.split.zeroed_bytes, stream));
  std::int32_t* order = build.tree.order;
  std::int32_t* other = build.split.other_order;
  if (rounds % 2 != 0) std::swap(order, other);  // so that the last round writes tree.order
  start_kernel<T><<<groups, kGroupPoints, 0, stream>>>(build, order);
  for (int bit = rounds - 1; bit >= 0; --bit) {
    launch_after(histogram_kernel<T>, groups, kGroupPoints, 0, stream, build, bit, order);
    launch_after(side_kernel<T>, groups, kGroupPoints, 0, stream, build, bit, order, other);
    std::swap(order, other);
  }
}

}  // namespace
}  // namespace starling::neighbors_cuda
