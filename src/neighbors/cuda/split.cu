#include <cuda_runtime.h>

#include <bit>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "neighbors/cuda/build.cuh"

// Splits the events of more than one group into groups, one level of splits per round.
//
// Invariant: the places of group g are 1024 g .. 1024 g + 1023. So a split does not halve its segment: it is at the
// place whose group number has the most trailing zero bits, and round `bit` does all splits whose number has its last
// one bit there. Thus the 32 groups of a region are also a subtree.
//
// A round is one kernel with one block per group of places. The round before has left a histogram of each segment along
// each dimension: they say in which dimension the segment is widest and which bin there holds the split. Points below
// that bin come first, then those in it, on either side, then those above. Meanwhile each point is counted in the
// histograms of its side, for a later round.
namespace starling::neighbors::cuda {
namespace {

// Two points per thread: their loads overlap, and blocks of the next kernel can start before this one ends.
constexpr int kSplitThreads = kGroupPoints / 2;
constexpr int kPointsEach = kGroupPoints / kSplitThreads;
constexpr int kWordsEach = kHistogram / kSplitThreads;
static_assert(kSplitThreads / 32 >= kMaxPadded);

__device__ inline int place_of(int group, int j) {
  return group * kGroupPoints + j * kSplitThreads + static_cast<int>(threadIdx.x);
}

/// A part of an event; number is 0 where it need not be split any more.
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
  __device__ bool holds(int place) const { return place >= first && place < last; }
  __device__ bool begins_in(int group) const { return first / kGroupPoints == group; }
};

/// The part of an event that round `bit` finds around a group: what the rounds before have left of it.
__device__ inline Segment segment_of(int begin, int end, int group, int bit) {
  const int low = (group >> (bit + 1) << (bit + 1)) * kGroupPoints;
  const int high = low + (kGroupPoints << (bit + 1));
  return Segment(max(begin, low), min(end, high));
}

/// The segment that round `bit` splits around a group. There is one at most: it holds the middle of 2 << bit groups.
__device__ inline Segment segment_to_split(int4 events, int group, int bit) {
  const Segment first = segment_of(events.x, events.y, group, bit);
  return first.bit == bit ? first : segment_of(events.z, events.w, group, bit);
}

/// Bins of each dimension in the histograms of a segment, a power of two.
__device__ inline int bins_of(int dimensions) { return min(kHistogram >> (32 - __clz(dimensions - 1)), kMostBins); }

/// Histograms of the two segments that the points of a block are in, or are moved to.
struct Counting {
  std::uint32_t counts[2][kHistogram];
  float2 cells[2][kMaxPadded];  // [segment, dimension] where the bins begin, and bins per unit of length

  __device__ void clear() {
    for (int word = threadIdx.x; word < kHistogram; word += kSplitThreads) counts[0][word] = counts[1][word] = 0;
  }
};

__device__ inline int bin_of(float2 cell, float x, int bins) {
  return static_cast<int>(fminf(fmaxf((x - cell.x) * cell.y, 0.0f), static_cast<float>(bins - 1)));
}
__device__ inline float2 cell_between(float low, float high, int bins) {
  return {low, high > low ? static_cast<float>(bins) / (high - low) : 0};
}
__device__ inline float bin_width(float2 cell) { return cell.y > 0 ? 1 / cell.y : 0; }

/// The points of a thread.
template <typename T>
struct Points {
  std::int32_t row[kPointsEach];
  Row<T, 4> near[kPointsEach];  // their first coordinates
  int inside[kPointsEach];      // the segment, 0 or 1, that each is to be counted in, else −1
};

/// Counts the points of a block. `publish`: whether this block writes the cells of the segment for later rounds.
template <typename T>
__device__ inline void count_points(const Build<T>& build, Counting& counting, const Segment& zero, const Segment& one,
                                    const Points<T>& points, bool publish_zero, bool publish_one) {
  const int dimensions = build.tree.dimensions, thread = threadIdx.x;
  const int bins = bins_of(dimensions);
#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) {
    const int which = points.inside[j];
    if (which < 0 || (which == 0 ? zero : one).number == 0) continue;
    for (int first = 0; first < dimensions; first += 4) {
      const Row<T, 4> x = first == 0 ? points.near[j] : load_four(build, points.row[j], first);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int d = first + i;
        if (d >= dimensions) break;
        const int bin = bin_of(counting.cells[which][d], static_cast<float>(x.x[i]), bins);
        atomicAdd(&counting.counts[which][d * bins + bin], 1);
      }
    }
  }
  __syncthreads();
  for (int which = 0; which < 2; ++which) {
    const int number = (which == 0 ? zero : one).number;
    if (number == 0) continue;
    for (int word = thread; word < kHistogram; word += kSplitThreads) {
      const std::uint32_t count = counting.counts[which][word];
      if (count != 0) atomicAdd(&build.split.histogram[number * kHistogram + word], count);
    }
    if (thread < dimensions && (which == 0 ? publish_zero : publish_one))
      build.split.cells[number * dimensions + thread] = counting.cells[which][thread];
  }
}

/// A cell around most points of an event: the box of a sample of one point per thread, the same in all blocks. Points
/// outside are counted in the outermost bins.
template <typename T>
__device__ inline void sample_cells(const Build<T>& build, const Segment& event, float2* cells) {
  __shared__ std::uint32_t box[2][kMaxPadded];
  const int dimensions = build.tree.dimensions, thread = threadIdx.x;
  const int size = event.last - event.first;
  if (thread < kMaxPadded) box[0][thread] = box[1][thread] = 0;
  __syncthreads();
  // Multiples of the golden ratio, so that the sample follows no period of the rows.
  const unsigned spread = static_cast<unsigned>(thread) * 2654435769u;
  const int row =
      event.first +
      (size <= kSplitThreads ? min(thread, size - 1) : static_cast<int>(__umulhi(spread, static_cast<unsigned>(size))));
  for (int first = 0; first < dimensions; first += 4) {
    const Row<T, 4> x = load_four(build, row, first);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t value = to_ordered(static_cast<float>(x.x[i]));
      const std::uint32_t low = warp_max(~value), high = warp_max(value);
      if (thread % 32 != 0 || first + i >= dimensions) continue;
      atomicMax(&box[0][first + i], low);
      atomicMax(&box[1][first + i], high);
    }
  }
  __syncthreads();
  if (thread < dimensions)
    cells[thread] = cell_between(from_ordered(~box[0][thread]), from_ordered(box[1][thread]), bins_of(dimensions));
  __syncthreads();
}

/// Begins with the points in the order of their rows, counted in the histograms of their events.
template <typename T>
__global__ void __launch_bounds__(kSplitThreads)
    start_kernel(const __grid_constant__ Build<T> build, std::int32_t* order) {
  __shared__ Counting counting;
  __shared__ int bounds[4];
  counting.clear();
  after_previous();
  const int n = build.tree.num_points, group = blockIdx.x, thread = threadIdx.x;
  Points<T> points;
#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) {
    const int place = place_of(group, j);
    points.row[j] = min(place, n - 1);
    points.near[j] = load_four(build, points.row[j], 0);
    if (place < n) order[place] = place;
  }
  int4 events = {0, n, 0, 0};
  if (build.row_splits != nullptr) {
    if (thread < 2) {
      const int at = thread == 0 ? group * kGroupPoints : min((group + 1) * kGroupPoints, n) - 1;
      const int event = find_event(build.row_splits, build.num_events, at);
      bounds[2 * thread] = build.row_splits[event];
      bounds[2 * thread + 1] = build.row_splits[event + 1];
    }
    __syncthreads();
    events = {bounds[0], bounds[1], bounds[2], bounds[3]};
    if (events.x == events.z) events.z = events.w = 0;
    if (thread == 0) build.split.events[group] = events;
  }
  if (group == 0 && thread == 0) *build.split.finished = 0;
  const Segment one(events.x, events.y), two(events.z, events.w);
  if (one.number != 0) sample_cells(build, one, counting.cells[0]);
  if (two.number != 0) sample_cells(build, two, counting.cells[1]);
#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) {
    const int place = place_of(group, j);
    points.inside[j] = one.holds(place) ? 0 : two.holds(place) ? 1 : -1;
  }
  count_points(build, counting, one, two, points, one.begins_in(group), two.begins_in(group));
}

/// Where a segment is split, in shared memory.
struct Cut {
  int counts[kHistogram];
  std::uint32_t occupied[kHistogram / 32];      // of each 32 bins: which have points,
  int sums[kHistogram / 32];                    // and the points of all
  int lowest[kMaxPadded], highest[kMaxPadded];  // bins with points
  float width[kMaxPadded];
  int dimension;
  int bin;          // the bin of that dimension that holds the split
  int below, size;  // points of the segment below that bin and in it
};

/// What is read of a segment first, so that the other loads can start at once.
struct Found {
  int counts[kWordsEach];
  float2 cell{0, 0};  // of the warp's dimension

  template <typename T>
  __device__ Found(const Build<T>& build, int number) {
    const int dimensions = build.tree.dimensions, warp = threadIdx.x / 32;
#pragma unroll
    for (int j = 0; j < kWordsEach; ++j)
      counts[j] = static_cast<int>(build.split.histogram[number * kHistogram + j * kSplitThreads + threadIdx.x]);
    if (warp < dimensions) cell = build.split.cells[number * dimensions + warp];
  }
};

/// Finds the extent of a segment in each dimension, one warp per dimension.
__device__ inline void measure(const Found& found, int dimensions, Cut& cut) {
  const int bins = bins_of(dimensions);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int j = 0; j < kWordsEach; ++j) {
    const int word = j * kSplitThreads + static_cast<int>(threadIdx.x);
    const std::uint32_t occupied = __ballot_sync(kWarp, found.counts[j] != 0);
    const int sum = __reduce_add_sync(kWarp, found.counts[j]);
    cut.counts[word] = found.counts[j];
    if (lane != 0) continue;
    cut.occupied[word / 32] = occupied;
    cut.sums[word / 32] = sum;
  }
  __syncthreads();
  if (warp < dimensions) {
    const int chunks = bins / 32;
    const std::uint32_t mine = lane < chunks ? cut.occupied[warp * chunks + lane] : 0;
    const unsigned any = __ballot_sync(kWarp, mine != 0);
    const int first = __ffs(any) - 1, last = 31 - __clz(any);
    const int lowest = first * 32 + __ffs(__shfl_sync(kWarp, mine, first)) - 1;
    const int highest = last * 32 + 31 - __clz(__shfl_sync(kWarp, mine, last));
    if (lane == 0) {
      cut.lowest[warp] = lowest;
      cut.highest[warp] = highest;
      cut.width[warp] = static_cast<float>(highest - lowest + 1) * bin_width(found.cell);
    }
  }
  __syncthreads();
}

/// Chooses the dimension and finds the bin. One warp calls it.
__device__ inline void choose(const Segment& segment, int dimensions, Cut& cut) {
  const int bins = bins_of(dimensions), chunks = bins / 32;
  const int lane = threadIdx.x % 32;
  const std::uint32_t width = lane < dimensions ? __float_as_uint(cut.width[lane]) : 0;
  const int dimension = __ffs(__ballot_sync(kWarp, width == warp_max(width))) - 1;
  const int wanted = segment.split() - segment.first;
  const int sum = lane < chunks ? cut.sums[dimension * chunks + lane] : 0;
  const int upto = static_cast<int>(sum_upto(sum));
  const int chunk = __ffs(__ballot_sync(kWarp, wanted < upto)) - 1;
  const int before = __shfl_sync(kWarp, upto - sum, chunk);
  const int bin = chunk * 32 + lane;
  const int size = cut.counts[dimension * bins + bin];
  const int below = before + static_cast<int>(sum_upto(size)) - size;
  if (below <= wanted && wanted < below + size) {
    cut.dimension = dimension;
    cut.bin = bin;
    cut.below = below;
    cut.size = size;
  }
}

/// The cells of the two sides in a dimension: what of the segment's own has points, cut at the bin that both share.
__device__ inline void divide(const Cut& cut, float2 cell, int d, int bins, Counting& counting) {
  const float width = bin_width(cell);
  const auto edge = [&](int bin) { return cell.x + static_cast<float>(bin) * width; };
  const float low = edge(cut.lowest[d]), high = edge(cut.highest[d] + 1);
  const bool here = d == cut.dimension;
  counting.cells[0][d] = cell_between(low, here ? edge(cut.bin + 1) : high, bins);
  counting.cells[1][d] = cell_between(here ? edge(cut.bin) : low, high, bins);
}

/// Where a point is moved to: below the bin of the split, in it, or above.
struct Side {
  int side = -1;
  unsigned below, in;  // lanes of the warp's points there

  /// All lanes of a warp call it. Notes the warp's counts, in the upper half those in the bin.
  __device__ void vote(std::uint32_t& counts) {
    below = __ballot_sync(kWarp, side == 0);
    in = __ballot_sync(kWarp, side == 1);
    if (threadIdx.x % 32 == 0) counts = __popc(below) | __popc(in) << 16;
  }
  /// The rank among its kind, of the point that is `inside`-th of the block's points in the segment.
  __device__ int rank(std::uint32_t counts_before, int inside) const {
    const unsigned before = lanes_before(threadIdx.x % 32);
    const int below_before = static_cast<int>(counts_before & 0xffff) + __popc(below & before);
    const int in_before = static_cast<int>(counts_before >> 16) + __popc(in & before);
    return side == 0 ? below_before : side == 1 ? in_before : inside - below_before - in_before;
  }
};

template <typename T>
__global__ void __launch_bounds__(kSplitThreads)
    split_kernel(const __grid_constant__ Build<T> build, int bit, const std::int32_t* order, std::int32_t* new_order) {
  __shared__ Counting counting;
  __shared__ Cut cut;
  __shared__ std::uint32_t counts[32];  // of each 32 places, see Side
  __shared__ int bases[3];              // where the block's points below, in and above the bin go
  counting.clear();
  after_previous();
  const int n = build.tree.num_points;
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, group = blockIdx.x;
  const int dimensions = build.tree.dimensions, bins = bins_of(dimensions);
  Points<T> points;
#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) points.row[j] = order[min(place_of(group, j), n - 1)];
  const int4 events = build.row_splits == nullptr ? int4{0, n, 0, 0} : build.split.events[group];
  const Segment segment = segment_to_split(events, group, bit);
  if (segment.bit != bit) {
#pragma unroll
    for (int j = 0; j < kPointsEach; ++j)
      if (place_of(group, j) < n) new_order[place_of(group, j)] = points.row[j];
    return;
  }
  const Found found(build, segment.number);
#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) points.near[j] = load_four(build, points.row[j], 0);
  measure(found, dimensions, cut);
  if (warp == 0) choose(segment, dimensions, cut);
  __syncthreads();

  const float2* const cells = build.split.cells + segment.number * dimensions;
  Side sides[kPointsEach];
#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) {
    if (segment.holds(place_of(group, j))) {
      const T x = coordinate(build, points.row[j], points.near[j], cut.dimension);
      const int bin = bin_of(cells[cut.dimension], static_cast<float>(x), bins);
      sides[j].side = bin < cut.bin ? 0 : bin == cut.bin ? 1 : 2;
    }
    sides[j].vote(counts[place_of(0, j) / 32]);
  }
  if (thread < dimensions) divide(cut, cells[thread], thread, bins, counting);
  __syncthreads();
  const int first = max(segment.first, group * kGroupPoints);
  if (warp == 0) {
    const std::uint32_t total = __reduce_add_sync(kWarp, counts[lane]);
    const int below = total & 0xffff, in = total >> 16;
    const int above = min(segment.last, (group + 1) * kGroupPoints) - first - below - in;
    const int amount = lane == 0 ? below : lane == 1 ? in : above;
    const int start = segment.first + (lane == 0 ? 0 : lane == 1 ? cut.below : cut.below + cut.size);
    if (lane < 3) bases[lane] = start + atomicAdd(&build.split.sides[segment.number * 3 + lane], amount);
  }
  __syncthreads();

#pragma unroll
  for (int j = 0; j < kPointsEach; ++j) {
    const int place = place_of(group, j);
    const std::uint32_t before = __reduce_add_sync(kWarp, lane < place_of(0, j) / 32 ? counts[lane] : 0);
    int new_place = place;
    if (sides[j].side >= 0) new_place = bases[sides[j].side] + sides[j].rank(before, place - first);
    if (place < n) new_order[new_place] = points.row[j];
    points.inside[j] = sides[j].side < 0 ? -1 : new_place >= segment.split();
  }
  const Segment left(segment.first, segment.split()), right(segment.split(), segment.last);
  const bool publish = segment.begins_in(group);
  count_points(build, counting, left, right, points, publish, publish);
}

}  // namespace

template <typename T>
void split_events(const Build<T>& build, CUstream_st* stream) {
  const int groups = build.tree.num_nodes[kGroupLevel];
  const int rounds = std::bit_width(static_cast<unsigned>(groups - 1));
  call(cudaMemsetAsync(build.split.zeroed, 0, build.split.zeroed_bytes, stream));
  std::int32_t* order = build.tree.order;
  std::int32_t* other = build.split.other_order;
  if (rounds % 2 != 0) std::swap(order, other);  // so that the last round writes tree.order
  start_kernel<T><<<groups, kSplitThreads, 0, stream>>>(build, order);
  for (int bit = rounds - 1; bit >= 0; --bit) {
    launch_after(split_kernel<T>, groups, kSplitThreads, 0, stream, build, bit, order, other);
    std::swap(order, other);
  }
}

template void split_events(const Build<float>&, CUstream_st*);
template void split_events(const Build<double>&, CUstream_st*);

}  // namespace starling::neighbors::cuda
