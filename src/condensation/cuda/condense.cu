#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <type_traits>

#include "condensation/backends.h"
#include "condensation/formulas.h"
#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "cuda/rows.cuh"
#include "cuda/warp.cuh"
#include "memory/layout.h"

// The hits are sorted by event, then candidates first, the best β first, then by row: each has a place. One kernel,
// whose blocks all run at once, then goes in rounds. In a round each event's next candidates that are still free, at
// most kBatch, are resolved among themselves by one block: a candidate becomes a point unless a point before it reaches
// it. Then all free hits are tested against the new points, whose numbers are higher than those of earlier rounds. So
// all candidates of the batch are decided, as one after the other would have decided them.
namespace starling::condensation::cuda {

using namespace starling::cuda;

namespace {

constexpr int kCondenseThreads = 512;
constexpr int kCondenseWarps = kCondenseThreads / 32;
constexpr int kBatch = kCondenseThreads;
constexpr int kBatchWords = kBatch / 32;
constexpr int kReachWords = kBatchWords + 1;  // odd, so that a warp's rows lie in different banks

/// Coordinates, padded with zeros, which add exactly nothing to d², and r² were it a point. The size is a multiple of
/// 16 bytes.
template <typename T, int kDimensions>
struct alignas(16) Place {
  static constexpr int kStored = (kDimensions + 4) / 4 * 4 - 1;
  T x[kStored];
  T reach2;
};

template <typename T, int kDimensions>
__device__ __forceinline__ T distance2(const Place<T, kDimensions>& a, const Place<T, kDimensions>& b) {
  T sum = 0;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) {
    const T apart = a.x[d] - b.x[d];
    sum = fma(apart, apart, sum);
  }
  return sum;
}

template <typename Action>
auto with_padded_place(int dimensions, const Action& action) {
  if (dimensions <= 3) return action(std::integral_constant<int, 3>());
  return action(std::integral_constant<int, kMaxCondensationDimensions>());
}

template <typename T>
struct CondenseArrays {
  typename Bits<T>::Type* key[2];      // [hits] candidates first, descending by β
  std::uint32_t* order[2];             // [hits] rows; before and after sorting, in whichever the sort leaves it
  std::uint32_t* event[2];             // [hits] null for one event
  std::byte* hits;                     // [hits] Place by place
  std::byte* points;                   // [hits] Place of the points, an event's from its first row on
  std::int32_t* point_row;             // [hits]
  std::uint32_t *free, *candidate;     // [hits / 32] bits by place: taken by no point yet; of β ≥ t_beta
  std::int32_t *cursor, *begin, *end;  // [events]
  std::int32_t* again;                 // [2]
  std::byte* scratch;                  // of the sorts
  std::size_t key_bytes, event_bytes;
};

/// Sorts the rows `order` stably by key; returns which of the two buffers hold keys and rows then.
template <typename Key>
int sort_rows(std::byte* scratch, std::size_t& bytes, Key* const (&key)[2], std::uint32_t* before, std::uint32_t* after,
              std::int32_t count, int bits, cudaStream_t stream) {
  cub::DoubleBuffer<Key> keys(key[0], key[1]);
  cub::DoubleBuffer<std::uint32_t> rows(before, after);
  call(cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, rows, count, 0, bits, stream));
  return keys.selector;
}

template <typename T>
constexpr int kKeyBits = sizeof(T) * 8;
template <typename T>
int event_bits(const CondenseHits<T>& hits) {
  return std::bit_width(static_cast<std::uint32_t>(hits.num_events - 1));
}

template <typename T>
std::size_t lay_out(const CondenseHits<T>& hits, std::span<std::byte> memory, CondenseArrays<T>& arrays) {
  memory::Layout layout(memory);
  const auto n = static_cast<std::size_t>(hits.num_hits);
  const auto events = static_cast<std::size_t>(hits.num_events);
  const bool several = hits.num_events > 1;
  for (int side = 0; side < 2; ++side) {
    arrays.key[side] = layout.take<typename Bits<T>::Type>(n);
    arrays.order[side] = layout.take<std::uint32_t>(n);
    arrays.event[side] = several ? layout.take<std::uint32_t>(n) : nullptr;
  }
  const std::size_t each =
      with_padded_place(hits.dimensions, [](auto padded) { return sizeof(Place<T, decltype(padded)::value>); });
  arrays.hits = layout.take<std::byte>(n * each);
  arrays.points = layout.take<std::byte>(n * each);
  arrays.point_row = layout.take<std::int32_t>(n);
  arrays.free = layout.take<std::uint32_t>((n + 31) / 32);
  arrays.candidate = layout.take<std::uint32_t>((n + 31) / 32);
  arrays.cursor = layout.take<std::int32_t>(events);
  arrays.begin = layout.take<std::int32_t>(events);
  arrays.end = layout.take<std::int32_t>(events);
  arrays.again = layout.take<std::int32_t>(2);
  arrays.key_bytes = arrays.event_bytes = 0;
  if (n > 0) {
    typename Bits<T>::Type* const no_keys[2] = {};
    std::uint32_t* const no_events[2] = {};
    sort_rows(nullptr, arrays.key_bytes, no_keys, nullptr, nullptr, hits.num_hits, kKeyBits<T>, nullptr);
    if (several)
      sort_rows(nullptr, arrays.event_bytes, no_events, nullptr, nullptr, hits.num_hits, event_bits(hits), nullptr);
  }
  arrays.scratch = layout.take<std::byte>(std::max(arrays.key_bytes, arrays.event_bytes));
  return layout.bytes();
}

template <typename T>
__global__ void __launch_bounds__(kCondenseThreads)
    rank_kernel(const __grid_constant__ CondenseHits<T> hits, T t_beta, typename Bits<T>::Type* key,
                std::uint32_t* order, std::int32_t* bad_row) {
  using Key = typename Bits<T>::Type;
  const std::uint32_t row = blockIdx.x * kCondenseThreads + threadIdx.x;
  if (row >= static_cast<std::uint32_t>(hits.num_hits)) return;
  const T beta = hits.beta[row];
  // −0 becomes 0, which it equals.
  key[row] = beta >= t_beta ? static_cast<Key>(~to_ordered(beta + T(0))) : static_cast<Key>(~Key{0});
  order[row] = row;
  bool good = beta >= T(0) && beta <= T(1);
  for (int d = 0; d < hits.dimensions; ++d) good = good && isfinite(hits.x[std::int64_t{row} * hits.dimensions + d]);
  if (hits.scale != nullptr) good = good && hits.scale[row] > T(0) && isfinite(hits.scale[row]);
  // As an unsigned number −1 is above all rows.
  if (!good && bad_row != nullptr) atomicMin(reinterpret_cast<std::uint32_t*>(bad_row), row);
}

__global__ void __launch_bounds__(kCondenseThreads)
    event_of_kernel(const std::uint32_t* order, std::int32_t num_hits, const std::int32_t* row_splits,
                    std::int32_t num_events, std::uint32_t* event) {
  const std::uint32_t place = blockIdx.x * kCondenseThreads + threadIdx.x;
  if (place < static_cast<std::uint32_t>(num_hits))
    event[place] = find_event(row_splits, num_events, static_cast<int>(order[place]));
}

/// What the rounds read and write.
template <typename T, int kDimensions>
struct Clustering {
  CondenseHits<T> hits;
  Condensed out;
  T t_beta;
  double t_d;
  bool nearest;
  const std::uint32_t *order, *event;  // sorted
  Place<T, kDimensions>*hit, *point;
  std::int32_t* point_row;
  std::uint32_t *free, *candidate;
  /// Of each event: candidates before the place `cursor` are decided, and its points that are new in this round are
  /// begin .. end − 1.
  std::int32_t *cursor, *begin, *end;
  std::int32_t* again;  ///< of even and odd rounds: whether a candidate is still free

  __device__ std::int32_t first(std::int32_t e) const {
    if (hits.row_splits != nullptr) return hits.row_splits[e];
    return e == 0 ? 0 : hits.num_hits;
  }
  __device__ std::int32_t event_of(std::int32_t place) const {
    return event != nullptr ? static_cast<std::int32_t>(event[place]) : 0;
  }
  __device__ std::int32_t num_words() const { return (hits.num_hits - 1) / 32 + 1; }
};

/// An event's candidates of a round, in shared memory.
template <typename T, int kDimensions>
struct Batch {
  Place<T, kDimensions> hit[kBatch];
  std::int32_t place[kBatch];
  std::uint32_t reach[kBatch * kReachWords];  // bit j of row i: i, as a point, would take the later j
  std::uint32_t points[kBatchWords];
  std::int32_t sums[kCondenseWarps];
};

/// The block's warps take words of 32 places, in turn with those of the other blocks.
template <typename Action>
__device__ void for_each_word(std::int32_t num_words, const Action& action) {
  const int step = gridDim.x * kCondenseWarps;
  for (int word = blockIdx.x * kCondenseWarps + threadIdx.x / 32; word < num_words; word += step) action(word);
}
template <typename Action>
__device__ void for_each_event(std::int32_t num_events, const Action& action) {
  const std::int64_t step = gridDim.x * kCondenseThreads;
  for (std::int64_t e = blockIdx.x * kCondenseThreads + threadIdx.x; e < num_events; e += step)
    action(static_cast<int>(e));
}

template <typename T, int kDimensions>
__device__ void fill_places(const Clustering<T, kDimensions>& c) {
  const CondenseHits<T>& hits = c.hits;
  for_each_word(c.num_words(), [&](int word) {
    const int lane = threadIdx.x % 32;
    const bool there = lane < hits.num_hits - word * 32;
    bool candidate = false;
    if (there) {
      const std::int32_t place = word * 32 + lane;
      const std::uint32_t row = c.order[place];
      candidate = hits.beta[row] >= c.t_beta;
      Place<T, kDimensions> hit;
#pragma unroll
      for (int d = 0; d < hit.kStored; ++d)
        hit.x[d] = d < hits.dimensions ? hits.x[std::int64_t{row} * hits.dimensions + d] : T(0);
      hit.reach2 = reach2(c.t_d, hits.scale != nullptr ? hits.scale[row] : T(1));
      c.hit[place] = hit;
      c.out.id[row] = c.out.point[row] = -1;
    }
    const unsigned free = __ballot_sync(kWarp, there), candidates = __ballot_sync(kWarp, candidate);
    if (lane == 0) {
      c.free[word] = free;
      c.candidate[word] = candidates;
    }
  });
  for_each_event(hits.num_events, [&](int e) { c.cursor[e] = c.begin[e] = c.end[e] = c.first(e); });
}

/// The sum of the values of the block's threads before this one, and of all. All threads must call it.
__device__ int sum_before(int value, int& total, std::int32_t (&sums)[kCondenseWarps]) {
  const int warp = threadIdx.x / 32;
  const int upto = static_cast<int>(sum_upto(static_cast<std::uint32_t>(value)));
  __syncthreads();
  if (threadIdx.x % 32 == 31) sums[warp] = upto;
  __syncthreads();
  int before = upto - value;
  total = 0;
  for (int w = 0; w < kCondenseWarps; ++w) {
    before += w < warp ? sums[w] : 0;
    total += sums[w];
  }
  return before;
}

/// Writes the event's next free candidates to batch.place and returns how many there are, which may be more than
/// kBatch. All threads of the block must call it.
template <typename T, int kDimensions>
__device__ int take_candidates(const Clustering<T, kDimensions>& c, int cursor, int first, int last,
                               Batch<T, kDimensions>& batch) {
  const int end_word = (last - 1) / 32 + 1;
  int taken = 0;
  for (int begin_word = cursor / 32; begin_word < end_word && taken < kBatch; begin_word += kCondenseThreads) {
    const int word = begin_word + threadIdx.x;
    unsigned bits = 0;
    if (word < end_word) {
      bits = c.free[word] & c.candidate[word];
      const int before = first - word * 32, upto = last - word * 32;  // places of earlier events, and of later ones
      if (before > 0) bits &= ~0u << before;
      if (upto < 32) bits &= (1u << upto) - 1;
    }
    int total = 0;
    int number = taken + sum_before(__popc(bits), total, batch.sums);
    for (; bits != 0 && number < kBatch; bits &= bits - 1) batch.place[number++] = word * 32 + __ffs(bits) - 1;
    taken += total;
  }
  __syncthreads();
  return taken;
}

/// Who takes whom among the batch: each warp fills words of 32 candidates against 32.
template <typename T, int kDimensions>
__device__ void fill_reach(int size, Batch<T, kDimensions>& batch) {
  const int lane = threadIdx.x % 32, words = (size + 31) / 32;
  int turn = 0;
  for (int rows = 0; rows < words; ++rows) {
    for (int word = rows; word < words; ++word, ++turn) {
      if (turn % kCondenseWarps != static_cast<int>(threadIdx.x / 32)) continue;
      const int i = rows * 32 + lane;
      const Place<T, kDimensions> hit = batch.hit[min(i, size - 1)];
      const int others = min(size - word * 32, 32);
      unsigned bits = 0;
      for (int j = 0; j < others; ++j) {
        if (distance2(hit, batch.hit[word * 32 + j]) <= hit.reach2) bits |= 1u << j;
      }
      if (word == rows) bits &= ~((2u << lane) - 1);  // the later ones
      if (i < size) batch.reach[i * kReachWords + word] = bits;
    }
  }
}

/// Decides the batch in its order. One warp calls it; lane w holds word w of the candidates that are taken.
template <typename T, int kDimensions>
__device__ void choose_among(int size, Batch<T, kDimensions>& batch) {
  const int lane = threadIdx.x % 32, words = (size + 31) / 32;
  unsigned taken = 0;
  for (int word = 0; word < words; ++word) {
    const int i = word * 32 + lane;
    const unsigned own = i < size ? batch.reach[i * kReachWords + word] : 0;
    const int others = size - word * 32;
    unsigned open = ~__shfl_sync(kWarp, taken, word) & (others < 32 ? (1u << others) - 1 : ~0u);
    unsigned points = 0;
    while (open != 0) {
      const int best = __ffs(open) - 1;
      points |= 1u << best;
      open &= ~(1u << best) & ~__shfl_sync(kWarp, own, best);
    }
    if (lane == 0) batch.points[word] = points;
    for (; points != 0; points &= points - 1) {
      if (lane > word && lane < words) taken |= batch.reach[(word * 32 + __ffs(points) - 1) * kReachWords + lane];
    }
  }
}

/// One block makes the event's next points.
template <typename T, int kDimensions>
__device__ void add_points(const Clustering<T, kDimensions>& c, int e, Batch<T, kDimensions>& batch) {
  const int first = c.first(e), last = c.first(e + 1), cursor = c.cursor[e], begin = c.end[e];
  if (cursor >= last) {
    if (threadIdx.x == 0) c.begin[e] = begin;
    return;
  }
  const int candidates = take_candidates(c, cursor, first, last, batch);
  const int size = min(candidates, kBatch);
  const int i = threadIdx.x;
  if (i < size) batch.hit[i] = c.hit[batch.place[i]];
  __syncthreads();
  fill_reach(size, batch);
  __syncthreads();
  if (threadIdx.x < 32) choose_among(size, batch);
  __syncthreads();
  int number = begin, end = begin;
  for (int word = 0; word < (size + 31) / 32; ++word) {
    const unsigned points = batch.points[word];
    if (word < i / 32) number += __popc(points);
    if (word == i / 32) number += __popc(points & lanes_before(i % 32));
    end += __popc(points);
  }
  if (i < size && (batch.points[i / 32] >> (i % 32) & 1) != 0) {
    const std::int32_t place = batch.place[i];
    const auto row = static_cast<std::int32_t>(c.order[place]);
    c.point[number] = batch.hit[i];
    c.point_row[number] = row;
    c.out.id[row] = number - first;
    c.out.point[row] = row;
    atomicAnd(c.free + place / 32, ~(1u << (place % 32)));
  }
  if (threadIdx.x == 0) {
    c.begin[e] = begin;
    c.end[e] = end;
    c.cursor[e] = candidates < kBatch ? last : batch.place[kBatch - 1] + 1;
  }
}

/// Gives free hits to the first new point that reaches them. True in threads that saw a candidate stay free.
template <typename T, int kDimensions>
__device__ bool collect(const Clustering<T, kDimensions>& c) {
  constexpr int kAtOnce = sizeof(Place<T, kDimensions>) <= 32 ? 4 : 1;  // loads in flight
  bool again = false;
  for_each_word(c.num_words(), [&](int word) {
    const unsigned free = c.free[word];
    if (free == 0) return;
    bool is_free = (free >> (threadIdx.x % 32) & 1) != 0;
    if (is_free) {
      const std::int32_t place = word * 32 + threadIdx.x % 32;
      const std::int32_t e = c.event_of(place), end = c.end[e];
      std::int32_t by = -1;
      const Place<T, kDimensions> hit = c.hit[place];
      for (std::int32_t begin = c.begin[e]; begin < end && by < 0; begin += kAtOnce) {
        Place<T, kDimensions> point[kAtOnce];
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) point[j] = c.point[min(begin + j, end - 1)];
#pragma unroll
        for (int j = kAtOnce - 1; j >= 0; --j) {
          if (distance2(hit, point[j]) <= point[j].reach2) by = min(begin + j, end - 1);
        }
      }
      if (by >= 0) {
        is_free = false;
        const std::uint32_t row = c.order[place];
        c.out.id[row] = by - c.first(e);
        c.out.point[row] = c.point_row[by];
      }
    }
    const unsigned left = __ballot_sync(kWarp, is_free);
    if (left != free && threadIdx.x % 32 == 0) c.free[word] = left;
    again = again || (left & c.candidate[word]) != 0;
  });
  return again;
}

/// Gives every hit that was taken to the nearest of its event's points in reach.
template <typename T, int kDimensions>
__device__ void take_nearest(const Clustering<T, kDimensions>& c) {
  for_each_word(c.num_words(), [&](int word) {
    const int lane = threadIdx.x % 32;
    if (lane >= c.hits.num_hits - word * 32) return;
    const std::int32_t place = word * 32 + lane;
    const std::uint32_t row = c.order[place];
    const std::int32_t e = c.event_of(place), first = c.first(e), end = c.end[e];
    const std::int32_t collected = c.out.id[row];
    if (collected < 0) return;
    const Place<T, kDimensions> hit = c.hit[place];
    // Where d² is infinite, it is so for all points in reach, and the first one has it.
    T nearest = infinity<T>();
    std::int32_t by = first + collected;
#pragma unroll 4
    for (std::int32_t p = first; p < end; ++p) {
      const Place<T, kDimensions> point = c.point[p];
      const T d2 = distance2(hit, point);
      if (d2 <= point.reach2 && d2 < nearest) {
        nearest = d2;
        by = p;
      }
    }
    c.out.id[row] = by - first;
    c.out.point[row] = c.point_row[by];
  });
}

template <typename T, int kDimensions>
__global__ void __launch_bounds__(kCondenseThreads, 2)
    condense_kernel(const __grid_constant__ Clustering<T, kDimensions> c) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto& batch = *reinterpret_cast<Batch<T, kDimensions>*>(shared);
  const auto grid = cooperative_groups::this_grid();
  fill_places(c);
  grid.sync();
  for (int round = 0;; ++round) {
    std::int32_t* const again = c.again + round % 2;
    if (blockIdx.x == 0 && threadIdx.x == 0) *again = 0;  // all have read it two rounds ago
    for (std::int64_t e = blockIdx.x; e < c.hits.num_events; e += gridDim.x) add_points(c, static_cast<int>(e), batch);
    grid.sync();
    if (__syncthreads_or(collect(c)) != 0 && threadIdx.x == 0) atomicExch(again, 1);
    grid.sync();
    if (*static_cast<volatile std::int32_t*>(again) == 0) break;
  }
  if (c.nearest) take_nearest(c);
  if (c.out.num_points != nullptr)
    for_each_event(c.hits.num_events, [&](int e) { c.out.num_points[e] = c.end[e] - c.first(e); });
}

/// Starts as many blocks as run at once: they wait for each other.
template <typename T, int kDimensions>
void run_rounds(const Clustering<T, kDimensions>& clustering, cudaStream_t stream) {
  const auto kernel = condense_kernel<T, kDimensions>;
  constexpr int kBytes = sizeof(Batch<T, kDimensions>);
  int device = 0, processors = 0, blocks_each = 0;
  call(cudaGetDevice(&device));
  call(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  call(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  call(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_each, kernel, kCondenseThreads, kBytes));
  const int useful = std::max(blocks_of(clustering.hits.num_hits, kCondenseThreads), clustering.hits.num_events);
  void* arguments[] = {const_cast<Clustering<T, kDimensions>*>(&clustering)};
  call(cudaLaunchCooperativeKernel(kernel, dim3(static_cast<unsigned>(std::min(processors * blocks_each, useful))),
                                   dim3(kCondenseThreads), arguments, kBytes, stream));
}

}  // namespace

template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>& hits) {
  CondenseArrays<T> arrays{};
  return lay_out(hits, {}, arrays);
}

template <typename T>
void condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out,
              std::span<std::byte> workspace, const Execution& execution) {
  const cudaStream_t stream = execution.stream;
  if (execution.bad_row != nullptr) call(cudaMemsetAsync(execution.bad_row, 0xff, sizeof(std::int32_t), stream));
  if (hits.num_hits == 0) {
    if (out.num_points != nullptr)
      call(
          cudaMemsetAsync(out.num_points, 0, static_cast<std::size_t>(hits.num_events) * sizeof(std::int32_t), stream));
    return;
  }
  CondenseArrays<T> arrays{};
  lay_out(hits, workspace, arrays);
  const int blocks = blocks_of(hits.num_hits, kCondenseThreads);
  const T t_beta = static_cast<T>(options.t_beta);
  rank_kernel<<<blocks, kCondenseThreads, 0, stream>>>(hits, t_beta, arrays.key[0], arrays.order[0], execution.bad_row);
  int side = sort_rows(arrays.scratch, arrays.key_bytes, arrays.key, arrays.order[0], arrays.order[1], hits.num_hits,
                       kKeyBits<T>, stream);
  const std::uint32_t* order = arrays.order[side];
  const std::uint32_t* event = nullptr;
  if (hits.num_events > 1) {
    event_of_kernel<<<blocks, kCondenseThreads, 0, stream>>>(order, hits.num_hits, hits.row_splits, hits.num_events,
                                                             arrays.event[0]);
    std::uint32_t *const before = arrays.order[side], *const after = arrays.order[1 - side];
    side = sort_rows(arrays.scratch, arrays.event_bytes, arrays.event, before, after, hits.num_hits, event_bits(hits),
                     stream);
    order = side == 0 ? before : after;
    event = arrays.event[side];
  }
  with_padded_place(hits.dimensions, [&](auto padded) {
    using Hit = Place<T, decltype(padded)::value>;
    run_rounds<T, decltype(padded)::value>({.hits = hits,
                                            .out = out,
                                            .t_beta = t_beta,
                                            .t_d = options.t_d,
                                            .nearest = options.assign == CondenseAssign::nearest,
                                            .order = order,
                                            .event = event,
                                            .hit = reinterpret_cast<Hit*>(arrays.hits),
                                            .point = reinterpret_cast<Hit*>(arrays.points),
                                            .point_row = arrays.point_row,
                                            .free = arrays.free,
                                            .candidate = arrays.candidate,
                                            .cursor = arrays.cursor,
                                            .begin = arrays.begin,
                                            .end = arrays.end,
                                            .again = arrays.again},
                                           stream);
  });
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE(T)                                                                                  \
  template std::size_t condense_workspace_bytes(const CondenseHits<T>&);                                         \
  template void condense(const CondenseHits<T>&, const CondenseOptions&, const Condensed&, std::span<std::byte>, \
                         const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::condensation::cuda
