#pragma once

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "neighbors/check.h"
#include "neighbors/cuda/best_row.cuh"
#include "neighbors/cuda/wide.cuh"
#include "neighbors/formulas.h"

// A warp has 16, 32 or 64 queries, a block four warps. The block walks through the tiles of its events, those near its
// queries first. Products with the first tiles alone give each query a bound. Then the tensor cores tell of each tile
// which pairs pass the filter (wide.cuh); a query's pairs are collected, measured 32 at a time and put into its row of
// the output, whose last d² is the next bound.
namespace starling::neighbors::cuda {

inline constexpr int kWideWarps = 4, kWideThreads = 32 * kWideWarps;
/// Tiles in shared memory, so that warps need not keep step: as many as let three blocks share a multiprocessor.
template <int kSteps>
inline constexpr int kStages = kSteps > 2 ? 3 : 12 / kSteps;
inline constexpr int kPending = 32;    // pairs of a query that wait to be measured
inline constexpr int kMeasureAt = 24;  // so many are worth it

__device__ __forceinline__ unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// 16 bytes from global to shared memory, without waiting.
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

/// What some threads say to others, round after round: that a stage has been copied, or read.
class Signal {
 public:
  /// So many threads say it in a round.
  __device__ void start(int threads) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(&barrier_)), "r"(threads) : "memory");
  }
  __device__ void arrive() {
    asm volatile("{.reg .b64 state; mbarrier.arrive.shared.b64 state, [%0];}" ::"r"(shared_address(&barrier_))
                 : "memory");
  }
  /// Once the thread's copies so far have ended.
  __device__ void arrive_after_copies() {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(&barrier_)) : "memory");
  }
  /// Waits until all have said it in the given round, counted from 0.
  __device__ void wait(unsigned round) const {
    unsigned done = 0;
    while (done == 0)
      asm volatile("{.reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                   : "=r"(done)
                   : "r"(shared_address(&barrier_)), "r"(round % 2)
                   : "memory");
  }

 private:
  std::uint64_t barrier_;
};

/// sum[16, 8] += a[16, 16] · b[8, 16]ᵀ.
__device__ __forceinline__ void multiply(float (&sum)[4], const uint4& a, std::uint32_t b_low, std::uint32_t b_high) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b_low), "r"(b_high));
}

/// d² of two rows, as neighbors.h defines it.
template <typename T>
__device__ inline T distance2(const T* a, const T* b, int dimensions, bool in_fours) {
  T sum = 0;
  const auto add = [&](T x, T y) {
    const T difference = x - y;
    sum = fma(difference, difference, sum);
  };
  if (in_fours) {
#pragma unroll 8  // loads that are under way at the same time
    for (int d = 0; d < dimensions; d += 4) {
      const Row<T, 4> x = load_padded<T, 4>(a + d, 0), y = load_padded<T, 4>(b + d, 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) add(x.x[i], y.x[i]);
    }
  } else {
#pragma unroll 4
    for (int d = 0; d < dimensions; ++d) add(a[d], b[d]);
  }
  return sum;
}

/// An upper bound, in the scale of an event, of the true distance of points whose computed d² is not greater than the
/// given one. Of its D differences, squares and sums each is smaller than the exact one by a factor of at most 1 − u,
/// or by the least denormal number; u is half the distance from 1 to the next number. All rounding is upwards.
__device__ inline float farthest(float distance2, int dimensions, int exponent) {
  const float factor = __fadd_ru(1, static_cast<float>(dimensions + 4) * 0x1p-23f);
  const float most = __fmaf_ru(distance2, factor, static_cast<float>(dimensions) * 0x1p-149f);
  return __fadd_ru(ldexpf(__fsqrt_ru(most), exponent), 0x1p-126f);
}
__device__ inline float farthest(double distance2, int dimensions, int exponent) {
  const double most = __fma_ru(distance2, 1 + (dimensions + 4) * 0x1p-52, dimensions * 4.9406564584124654e-324);
  return __fadd_ru(__double2float_ru(ldexp(__dsqrt_ru(most), exponent)), 0x1p-126f);
}

template <int kSteps>
struct Stage {
  uint4 halves[kSteps * kStepWords];
  TileHead head;
  Signal copied;  // by the lanes of one warp
  Signal read;    // by all threads
};

/// The queries of a block, in shared memory.
template <typename T, int kQueries>
struct Queries {
  float reach[kQueries];                     // bound of s |q − p| and e_q
  float base[kQueries];                      // (½ − γ) |q'|²; +infinity: takes no neighbours (any more)
  std::int32_t pending[kQueries][kPending];  // places
  int number[kQueries];  // of pairs found since they were last measured, also of those that did not fit
  int size[kQueries];    // of the row, or the neighbours counted
  std::int32_t row[kQueries];
  int first[kQueries], last[kQueries];  // places of the event
  int exponent[kQueries];
  Key<T> last_key[kQueries];  // of rows that are full
};

/// kFragments: of queries per warp. kInParts: rows have several chunks, whose products are summed.
template <typename T, int kFragments, int kSteps, bool kInParts>
class WideBlock {
 public:
  static constexpr int kWarpQueries = kFragments * kFragmentRows, kQueries = kWideWarps * kWarpQueries;
  static constexpr int kBlocks16 = kTilePlaces / kFragmentRows;
  struct Memory {
    Stage<kSteps> stages[kStages<kSteps>];
    Queries<T, kQueries> queries;
    Key<T> keys[kWideWarps][32];
    int first_place, last_place;
    bool worth_measuring[kWideWarps];  // a warp has a query with enough pairs
  };

  __device__ WideBlock(const Wide<T>& wide, Memory& memory)
      : wide_(wide), memory_(memory), queries_(memory.queries), self_(wide.queries == nullptr) {
    const auto aligned = [](const T* rows) { return reinterpret_cast<std::uintptr_t>(rows) % sizeof(float4) == 0; };
    in_fours_ = wide.dimensions % 4 == 0 && aligned(wide.points) && (self_ || aligned(wide.queries));
  }

  __device__ void run() {
    start_queries();
    if (memory_.first_place < memory_.last_place) visit_tiles();
    end_queries();
  }

 private:
  __device__ int first_query() const { return blockIdx.x * kQueries; }
  __device__ const Packed& packed_queries() const { return self_ ? wide_.packed_points : wide_.packed_queries; }
  /// Of the products of a tile: what rounding can do to a sum, in parts of |p'|² + |q'|². Each instruction adds 16
  /// products to the sum so far, all shifted to the exponent of the largest and cut off: errors of at most 2^-23 of it
  /// each, and it is at most |p'|²/2 + |q'||p'| ≤ |p'|² + |q'|²/2. Rounding the norms and the inequality takes less
  /// than what is added.
  __device__ float gamma() const {
    return static_cast<float>(wide_.chunks * kSteps * (kStepDimensions + 8) + 8) * 0x1p-23f;
  }

  struct Place {
    std::int64_t begin;  // of the row in the output
    int capacity;        // for neighbours but the query itself
  };
  __device__ Place place_of(int query) const {
    const std::int32_t row = queries_.row[query];
    Place place{static_cast<std::int64_t>(row) * wide_.k, wide_.k};
    if (wide_.neighbor_row_splits != nullptr) {
      place.begin = wide_.neighbor_row_splits[row];
      place.capacity = static_cast<int>(wide_.neighbor_row_splits[row + 1] - place.begin);
    }
    return place;
  }
  __device__ bool leads(int query) const {
    return self_ && wide_.loop && has_neighbors(wide_.direction, queries_.row[query]);
  }

  __device__ void start_queries() {
    if (threadIdx.x == 0) {
      memory_.first_place = 0x7fffffff;
      memory_.last_place = 0;
      for (bool& worth : memory_.worth_measuring) worth = false;
      for (Stage<kSteps>& stage : memory_.stages) {
        stage.copied.start(32);
        stage.read.start(kWideThreads);
      }
    }
    __syncthreads();
    for (int query = threadIdx.x; query < kQueries; query += kWideThreads) {
      const int number = first_query() + query;
      queries_.number[query] = queries_.size[query] = 0;
      queries_.base[query] = infinity<float>();
      queries_.reach[query] = 0;
      queries_.row[query] = -1;
      if (number >= wide_.num_queries) continue;
      std::int32_t row = number;
      if (self_) row = wide_.order[number] < 0 ? ~wide_.order[number] : wide_.order[number];
      queries_.row[query] = row;
      int first = 0, last = wide_.num_points, event = 0;
      if (wide_.row_splits != nullptr) {
        const std::int32_t* const splits = self_ ? wide_.row_splits : wide_.query_row_splits;
        event = splits == nullptr ? 0 : find_event(splits, wide_.num_events, number);
        first = wide_.row_splits[event];
        last = wide_.row_splits[event + 1];
      }
      queries_.first[query] = first;
      queries_.last[query] = last;
      queries_.exponent[query] = wide_.frame.exponent[event];
      const bool active = !self_ || has_neighbors(wide_.direction, row);
      int capacity = 1;
      if (wide_.count == nullptr) {
        const Place place = place_of(query);
        capacity = place.capacity;
        if (leads(query) && capacity > 0) {
          wide_.index[place.begin] = row;
          wide_.distance2[place.begin] = 0;
          --capacity;
        }
      }
      if (!active || capacity <= 0 || first >= last) continue;
      queries_.base[query] = packed_queries().norm[number] * (0.5f - gamma());
      set_reach(query, wide_.radius2);
      atomicMin(&memory_.first_place, first);
      atomicMax(&memory_.last_place, last);
    }
    __syncthreads();
  }

  __device__ void set_reach(int query, T distance2) {
    const float distance = farthest(distance2, wide_.dimensions, queries_.exponent[query]);
    queries_.reach[query] = __fadd_ru(distance, packed_queries().error[first_query() + query]);
  }

  /// The tiles in the order of the smallest subtree that they share with the block's first: numbers that differ from
  /// its own in the lowest bits.
  struct Tiles {
    int own, first, last;
    unsigned step = 0, end;
    __device__ Tiles(int own_tile, int first_tile, int last_tile) : own(own_tile), first(first_tile), last(last_tile) {
      const unsigned differ = (first ^ last) | (first ^ own);
      end = differ == 0 ? 1 : 2u << (31 - __clz(static_cast<int>(differ)));
    }
    /// −1 at the end.
    __device__ int next() {
      while (step < end) {
        const int tile = own ^ static_cast<int>(step++);
        if (tile >= first && tile <= last) return tile;
      }
      return -1;
    }
  };

  /// Copies a chunk of a tile. All lanes of one warp call it.
  __device__ void copy_stage(Stage<kSteps>& stage, int tile, int chunk) const {
    const int lane = threadIdx.x % 32;
    const uint4* const from =
        wide_.packed_points.halves + (static_cast<std::int64_t>(tile) * wide_.chunks + chunk) * (kSteps * kStepWords);
#pragma unroll 4
    for (int i = lane; i < kSteps * kStepWords; i += 32) copy_async(stage.halves + i, from + i);
#pragma unroll
    for (int i = lane; i < static_cast<int>(sizeof(TileHead) / sizeof(uint4)); i += 32)
      copy_async(reinterpret_cast<uint4*>(&stage.head) + i,
                 reinterpret_cast<const uint4*>(wide_.packed_points.heads + tile) + i);
    stage.copied.arrive_after_copies();
  }

  /// Tiles and, within, chunks.
  struct Items {
    Tiles tiles;
    int tile, chunk = 0;
    __device__ explicit Items(const Tiles& all) : tiles(all) { tile = tiles.next(); }
    __device__ bool left() const { return tile >= 0; }
    __device__ void step(int chunks) {
      if (kInParts && ++chunk < chunks) return;
      chunk = 0;
      tile = tiles.next();
    }
  };

  __device__ void visit_tiles() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int first = memory_.first_place / kTilePlaces, last = (memory_.last_place - 1) / kTilePlaces;
    const Tiles tiles(self_ ? first_query() / kTilePlaces : first, first, last);
    Items item(tiles), ahead(tiles);
    for (int i = 0; i < kStages<kSteps> && ahead.left(); ++i, ahead.step(wide_.chunks))
      if (i % kWideWarps == warp) copy_stage(memory_.stages[i], ahead.tile, ahead.chunk);
    uint4 mine[kFragments][kSteps];
    if constexpr (!kInParts) {
      load_fragments(mine, 0);
      if (wide_.count == nullptr && wide_.neighbor_row_splits == nullptr) bound_reach(mine, tiles);
    }
    float parts[kInParts ? kBlocks16 : 1][kFragments][2][4];
    for (unsigned number = 0; item.left(); ++number, item.step(wide_.chunks)) {
      Stage<kSteps>& stage = memory_.stages[number % kStages<kSteps>];
      stage.copied.wait(number / kStages<kSteps>);
      if constexpr (kInParts) {
        load_fragments(mine, item.chunk);
#pragma unroll
        for (int block = 0; block < kBlocks16; ++block) {
          if (item.chunk == 0) start_sums(stage.head, block, parts[block]);
          uint4 points[kSteps];
          load_block(stage, block, points);
          multiply_block(points, mine, parts[block]);
        }
      }
      const bool complete = !kInParts || item.chunk + 1 == wide_.chunks;
      if (complete) {
        float threshold[kFragments][2];
        load_thresholds(stage.head, threshold);
        if constexpr (kInParts) {
#pragma unroll
          for (int block = 0; block < kBlocks16; ++block)
            collect(parts[block], threshold, stage.head, item.tile, block);
        } else {
          uint4 points[kSteps];
          load_block(stage, 0, points);
#pragma unroll 1  // code that does not fit in the cache of instructions takes longer than it saves
          for (int block = 0; block < kBlocks16; ++block) {
            start_sums(stage.head, block, parts[0]);
            multiply_block(points, mine, parts[0]);
            if (block + 1 < kBlocks16) load_block(stage, block + 1, points);  // on their way while sums are looked at
            collect(parts[0], threshold, stage.head, item.tile, block);
          }
        }
      }
      __syncwarp();  // lanes that collected pairs are back
      stage.read.arrive();
      // The stage before is filled again: by now all warps are likely to have left it.
      if (number > 0 && ahead.left()) {
        const unsigned before = number - 1;
        if (before % kWideWarps == warp) {
          Stage<kSteps>& free = memory_.stages[before % kStages<kSteps>];
          free.read.wait(before / kStages<kSteps>);
          copy_stage(free, ahead.tile, ahead.chunk);
        }
        ahead.step(wide_.chunks);
      }
      if (complete && memory_.worth_measuring[warp]) {
        __syncwarp();
        if (lane == 0) memory_.worth_measuring[warp] = false;
        measure(kMeasureAt, item.tile);
      }
    }
    measure(1, -1);
  }

  __device__ void load_fragments(uint4 (&mine)[kFragments][kSteps], int chunk) const {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment) {
      const int number = first_query() / kFragmentRows + warp * kFragments + fragment;
      const std::int64_t tile = min(number / kBlocks16, (wide_.num_queries - 1) / kTilePlaces);
      const std::int64_t at = (tile * wide_.chunks + chunk) * kBlocks16 + number % kBlocks16;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const uint4 rows = packed_queries().halves[(at * kSteps + step) * 32 + lane];
        mine[fragment][step] = {rows.x, rows.z, rows.y, rows.w};  // as the instruction takes them
      }
    }
  }

  __device__ static void start_sums(const TileHead& head, int block, float (&sum)[kFragments][2][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float2 start = *reinterpret_cast<const float2*>(head.minus_half_norm + block * kFragmentRows + half * 8 +
                                                            threadIdx.x % 4 * 2);
#pragma unroll
      for (int fragment = 0; fragment < kFragments; ++fragment) {
        sum[fragment][half][0] = sum[fragment][half][2] = start.x;
        sum[fragment][half][1] = sum[fragment][half][3] = start.y;
      }
    }
  }

  /// What 16 points of a stage are multiplied by.
  __device__ static void load_block(const Stage<kSteps>& stage, int block, uint4 (&points)[kSteps]) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
      points[step] = stage.halves[(block * kSteps + step) * 32 + threadIdx.x % 32];
  }
  __device__ static void multiply_block(const uint4 (&points)[kSteps], const uint4 (&mine)[kFragments][kSteps],
                                        float (&sum)[kFragments][2][4]) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
#pragma unroll
      for (int fragment = 0; fragment < kFragments; ++fragment) {
        multiply(sum[fragment][0], mine[fragment][step], points[step].x, points[step].y);
        multiply(sum[fragment][1], mine[fragment][step], points[step].z, points[step].w);
      }
    }
  }

  /// The query, in the block, of a lane's row of a fragment.
  __device__ static int query_of(int fragment, int upper) {
    return threadIdx.x / 32 * kWarpQueries + fragment * kFragmentRows + upper * 8 + threadIdx.x % 32 / 4;
  }

  __device__ void load_thresholds(const TileHead& head, float (&threshold)[kFragments][2]) const {
    const float rounding = gamma() * head.norm;
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment)
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int query = query_of(fragment, upper);
        const float within = queries_.reach[query] + head.error;
        threshold[fragment][upper] = fmaf(-0.5f * (1 + 0x1p-20f) * within, within, queries_.base[query] - rounding);
      }
  }

  /// A first bound for queries, from the products of the tiles that are copied first: a bisection finds a distance
  /// within which there are enough points of them. Without it, all of these would have to be measured.
  __device__ void bound_reach(const uint4 (&mine)[kFragments][kSteps], Tiles tiles) {
    constexpr int kRounds = 10, kOctaves = 30;  // of the bisection, and how much smaller than the largest d² it may end
    int copied = 0, begin = wide_.num_points, end = 0;
    float error = 0, norm = 0;
    for (int tile = tiles.next(); tile >= 0 && copied < kStages<kSteps>; tile = tiles.next(), ++copied) {
      Stage<kSteps>& stage = memory_.stages[copied];
      stage.copied.wait(0);
      begin = min(begin, tile * kTilePlaces);
      end = max(end, min((tile + 1) * kTilePlaces, wide_.num_points));
      error = fmaxf(error, stage.head.error);
      norm = fmaxf(norm, stage.head.norm);
    }
    // The query may be one of the points counted.
    const int wanted = wide_.k + (self_ && !wide_.loop ? 1 : 0);
    if (wanted > copied * kTilePlaces) return;

    float own_norm[kFragments][2];
    std::uint32_t low[kFragments][2], high[kFragments][2];  // bits of |q' − p'|²: too few are within, enough are
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment)
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int number = min(first_query() + query_of(fragment, upper), wide_.num_queries - 1);
        own_norm[fragment][upper] = packed_queries().norm[number];
        high[fragment][upper] = to_bits(2 * (own_norm[fragment][upper] + norm));
        low[fragment][upper] = high[fragment][upper] - min(high[fragment][upper], std::uint32_t{kOctaves} << 23);
      }
#pragma unroll 1
    for (int round = 0; round <= kRounds; ++round) {
      float threshold[kFragments][2];
      int found[kFragments][2] = {};
#pragma unroll
      for (int fragment = 0; fragment < kFragments; ++fragment)
#pragma unroll
        for (int upper = 0; upper < 2; ++upper)
          threshold[fragment][upper] =
              0.5f * (own_norm[fragment][upper] - from_bits(guess(low[fragment][upper], high[fragment][upper], round)));
#pragma unroll 1
      for (int block = 0; block < copied * kBlocks16; ++block) {
        const Stage<kSteps>& stage = memory_.stages[block / kBlocks16];
        float sum[kFragments][2][4];
        start_sums(stage.head, block % kBlocks16, sum);
        uint4 points[kSteps];
        load_block(stage, block % kBlocks16, points);
        multiply_block(points, mine, sum);
#pragma unroll
        for (int fragment = 0; fragment < kFragments; ++fragment)
#pragma unroll
          for (int i = 0; i < 8; ++i)
            found[fragment][i / 2 % 2] += sum[fragment][i / 4][i % 4] >= threshold[fragment][i / 2 % 2];
      }
#pragma unroll
      for (int fragment = 0; fragment < kFragments; ++fragment)
#pragma unroll
        for (int upper = 0; upper < 2; ++upper) {
          int all = found[fragment][upper];
          all += __shfl_xor_sync(kWarp, all, 1);
          all += __shfl_xor_sync(kWarp, all, 2);
          const std::uint32_t at = guess(low[fragment][upper], high[fragment][upper], round);
          if (all >= wanted)
            high[fragment][upper] = at;
          else if (round > 0)
            low[fragment][upper] = at;
          else
            low[fragment][upper] = high[fragment][upper] = to_bits(infinity<float>());
        }
    }
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment)
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int query = query_of(fragment, upper);
        if (threadIdx.x % 4 != 0 || !(queries_.base[query] < infinity<float>())) continue;
        if (begin < queries_.first[query] || end > queries_.last[query]) continue;
        // Points of a greater true distance than this have a greater d² than those found: by rounding errors of both.
        const float own_error = packed_queries().error[first_query() + query];
        const float rounding = 2 * gamma() * (own_norm[fragment][upper] + norm);
        const float within =
            __fadd_ru(__fsqrt_ru(__fadd_ru(from_bits(high[fragment][upper]), rounding)), __fadd_ru(own_error, error));
        const int exponent = queries_.exponent[query];
        const float factor = __fadd_ru(1, static_cast<float>(wide_.dimensions + 4) * 0x1p-22f);
        const float reach = __fadd_ru(__fmul_ru(within, factor), farthest(T(0), 2 * wide_.dimensions, exponent));
        // Where d² may overflow, the row decides and not the distance.
        constexpr double kLargest = sizeof(T) == sizeof(float) ? 1.8e19 : 1.3e154;
        if (ldexp(static_cast<double>(reach), -exponent) < kLargest)
          queries_.reach[query] = fminf(queries_.reach[query], __fadd_ru(reach, own_error));
      }
    __syncwarp();
  }
  /// Where a bisection looks next: at the upper end first.
  __device__ static std::uint32_t guess(std::uint32_t low, std::uint32_t high, int round) {
    return round == 0 ? high : low + (high - low) / 2;
  }

  /// Collects the pairs that pass the filter of 16 places.
  __device__ void collect(const float (&sum)[kFragments][2][4], const float (&threshold)[kFragments][2],
                          const TileHead& head, int tile, int block) {
    bool some[kFragments], any = false;
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment) {
      // Of a number and NaN the larger is the number.
      const auto& mine = sum[fragment];
      const float lower = fmaxf(fmaxf(mine[0][0], mine[0][1]), fmaxf(mine[1][0], mine[1][1]));
      const float upper = fmaxf(fmaxf(mine[0][2], mine[0][3]), fmaxf(mine[1][2], mine[1][3]));
      some[fragment] = lower >= threshold[fragment][0] || upper >= threshold[fragment][1];
      any |= some[fragment];
    }
    if (!any) return;
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment) {
      if (!some[fragment]) continue;
      unsigned hits = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i)
        hits |= static_cast<unsigned>(sum[fragment][i / 4][i % 4] >= threshold[fragment][i / 2 % 2]) << i;
#pragma unroll 1
      for (; hits != 0; hits &= hits - 1) {
        const int i = __ffs(static_cast<int>(hits)) - 1;
        const int in_tile = block * kFragmentRows + i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
        take(query_of(fragment, i / 2 % 2), tile * kTilePlaces + in_tile, head.row[in_tile]);
      }
    }
  }

  __device__ void take(int query, int place, std::int32_t row) {
    if (place < queries_.first[query] || place >= queries_.last[query]) return;
    // By the time it is measured, most of it is near.
    const T* const point = wide_.points + static_cast<std::int64_t>(row) * wide_.dimensions;
#pragma unroll
    for (int part = 0; part < 4; ++part)
      if (part * 64 < wide_.dimensions * static_cast<int>(sizeof(T)))
        asm volatile("prefetch.global.L2 [%0];" ::"l"(reinterpret_cast<const char*>(point) + part * 64));
    const int at = atomicAdd(&queries_.number[query], 1);
    if (at < kPending) queries_.pending[query][at] = place;
    if (at >= kMeasureAt - 1) memory_.worth_measuring[threadIdx.x / 32] = true;
  }

  /// Measures the pairs of the warp's queries that have at least so many. Where there were more than fit, all points of
  /// `tile`, which they are of, are measured.
  __device__ void measure(int at_least, int tile) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll 1
    for (int begin = warp * kWarpQueries; begin < (warp + 1) * kWarpQueries; begin += 32) {
      const bool mine = begin + lane < (warp + 1) * kWarpQueries;
      unsigned some = __ballot_sync(kWarp, mine && queries_.number[begin + lane] >= at_least);
#pragma unroll 1
      for (; some != 0; some &= some - 1) measure_query(begin + __ffs(static_cast<int>(some)) - 1, tile);
    }
  }

  __device__ void measure_query(int query, int tile) {
    const int lane = threadIdx.x % 32, number = queries_.number[query];
    const bool overflows = number > kPending;
    int place = lane < number ? queries_.pending[query][lane] : -1;
    if (overflows && place / kTilePlaces == tile) place = -1;
    int size = queries_.size[query];
    Place output{};
    if (wide_.count == nullptr) {
      output = place_of(query);
      if (leads(query)) {
        ++output.begin;
        --output.capacity;
      }
    }
    BestRow<T> best(wide_.index + output.begin, wide_.distance2 + output.begin, output.capacity, size,
                    queries_.last_key[query]);
    const T* const rows = self_ ? wide_.points : wide_.queries;
    const T* const x = rows + static_cast<std::int64_t>(queries_.row[query]) * wide_.dimensions;
#pragma unroll 1
    for (int next = 0; next <= (overflows ? kTilePlaces : 0); next += 32) {
      const bool there = place >= queries_.first[query] && place < queries_.last[query];
      const std::int32_t other = there ? wide_.order[place] : -1;
      place = tile * kTilePlaces + next + lane;
      if (!__any_sync(kWarp, there)) continue;
      Key<T> key = last_key<T>();
      if (other >= 0 && !(self_ && other == queries_.row[query])) {
        const T d2 = distance2(x, wide_.points + static_cast<std::int64_t>(other) * wide_.dimensions, wide_.dimensions,
                               in_fours_);
        if (d2 <= wide_.radius2) key = {d2, static_cast<std::uint32_t>(other)};
      }
      if (wide_.count == nullptr)
        best.add(key, memory_.keys[threadIdx.x / 32]);
      else
        size += __popc(__ballot_sync(kWarp, key.tie != kWarp));
    }
    __syncwarp();
    if (lane == 0) {
      queries_.number[query] = 0;
      queries_.size[query] = wide_.count == nullptr ? best.size() : size;
      if (wide_.count == nullptr && best.full()) {
        queries_.last_key[query] = best.last();
        set_reach(query, best.last().distance2);
      }
    }
    __syncwarp();
  }

  __device__ void end_queries() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int query = warp * kWarpQueries; query < (warp + 1) * kWarpQueries; ++query) {
      const std::int32_t row = queries_.row[query];
      if (row < 0) continue;
      const int before = leads(query) ? 1 : 0;
      if (wide_.count != nullptr) {
        const int total = queries_.size[query] + before;
        if (lane != 0) continue;
        wide_.count[row] = min(total, wide_.k);
        if (wide_.found != nullptr) wide_.found[row] = total;
        continue;
      }
      const Place output = place_of(query);
      for (int i = before + queries_.size[query] + lane; i < output.capacity; i += 32) {
        wide_.index[output.begin + i] = -1;
        wide_.distance2[output.begin + i] = infinity<T>();
      }
    }
  }

  const Wide<T>& wide_;
  Memory& memory_;
  Queries<T, kQueries>& queries_;
  bool self_, in_fours_;
};

template <typename T, int kFragments, int kSteps, bool kInParts>
__global__ void __launch_bounds__(kWideThreads, kInParts ? 2 : 3) wide_kernel(const __grid_constant__ Wide<T> wide) {
  using Block = WideBlock<T, kFragments, kSteps, kInParts>;
  extern __shared__ uint4 memory_of_block[];
  Block(wide, *reinterpret_cast<typename Block::Memory*>(memory_of_block)).run();
}

template <typename T, int kFragments, int kSteps, bool kInParts>
void launch_wide(const Wide<T>& wide, cudaStream_t stream) {
  using Block = WideBlock<T, kFragments, kSteps, kInParts>;
  const auto kernel = wide_kernel<T, kFragments, kSteps, kInParts>;
  constexpr int kBytes = sizeof(typename Block::Memory);
  call(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<blocks_of(wide.num_queries, Block::kQueries), kWideThreads, kBytes, stream>>>(wide);
  call(cudaGetLastError());
}

}  // namespace starling::neighbors::cuda
