#pragma once

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "neighbors/check.h"
#include "neighbors/cuda/best_row.cuh"
#include "neighbors/cuda/wide.cuh"
#include "neighbors/formulas.h"

// One warp has some tens of queries, four warps a block. The block walks through the tiles of its events, those near
// its queries first. Of each tile the tensor cores tell which pairs pass the filter (wide.cuh); a query's pairs are
// collected, measured 32 at a time and put into its row of the output, whose last d² is the next bound.
namespace starling::neighbors::cuda {

inline constexpr int kWideWarps = 4, kWideThreads = 32 * kWideWarps;
inline constexpr int kStages = 3;      // tiles in shared memory: one is read, the others are on their way
inline constexpr int kPending = 32;    // pairs of a query that wait to be measured
inline constexpr int kMeasureAt = 24;  // so many are worth it

/// 16 bytes from global to shared memory, without waiting.
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}
__device__ __forceinline__ void end_of_stage() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPendingStages>
__device__ __forceinline__ void wait_for_stage() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPendingStages) : "memory");
}

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
#pragma unroll 4
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
/// or by the least denormal number; u is half the distance from 1 to the next number.
template <typename T>
__device__ inline float farthest(T distance2, int dimensions, int exponent) {
  constexpr double kUlp = sizeof(T) == sizeof(float) ? 0x1p-23 : 0x1p-52;
  constexpr double kDenormal = sizeof(T) == sizeof(float) ? 0x1p-149 : 4.9406564584124654e-324;
  const double most = static_cast<double>(distance2) * (1 + (dimensions + 4) * kUlp) + dimensions * kDenormal;
  return __double2float_ru(ldexp(sqrt(most), exponent) * (1 + 0x1p-50));
}

template <int kSteps>
struct Stage {
  uint4 halves[kSteps * kStepWords];
  TileHead head;
};

/// The queries of a block, in shared memory.
template <int kQueries>
struct Queries {
  float reach[kQueries];                     // bound of s |q − p| and e_q
  float base[kQueries];                      // (½ − γ) |q'|²; +infinity: takes no neighbours (any more)
  std::int32_t pending[kQueries][kPending];  // places
  int number[kQueries];  // of pairs found since they were last measured, also of those that did not fit
  int size[kQueries];    // of the row, or the neighbours counted
  std::int32_t row[kQueries];
  int first[kQueries], last[kQueries];  // places of the event
  int exponent[kQueries];
};

/// kFragments: of queries per warp. kInParts: rows have several chunks, whose products are summed.
template <typename T, int kFragments, int kSteps, bool kInParts>
class WideBlock {
 public:
  static constexpr int kWarpQueries = kFragments * kFragmentRows, kQueries = kWideWarps * kWarpQueries;
  static constexpr int kBlocks16 = kTilePlaces / kFragmentRows;
  struct Memory {
    Stage<kSteps> stages[kStages];
    Queries<kQueries> queries;
    int first_place, last_place;
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

  __device__ void copy_stage(Stage<kSteps>& stage, int tile, int chunk) const {
    const uint4* const from =
        wide_.packed_points.halves + (static_cast<std::int64_t>(tile) * wide_.chunks + chunk) * (kSteps * kStepWords);
#pragma unroll
    for (int i = 0; i < kSteps * kStepWords / kWideThreads; ++i)
      copy_async(stage.halves + i * kWideThreads + threadIdx.x, from + i * kWideThreads + threadIdx.x);
    if (threadIdx.x < sizeof(TileHead) / sizeof(uint4))
      copy_async(reinterpret_cast<uint4*>(&stage.head) + threadIdx.x,
                 reinterpret_cast<const uint4*>(wide_.packed_points.heads + tile) + threadIdx.x);
  }

  __device__ void visit_tiles() {
    const int first = memory_.first_place / kTilePlaces, last = (memory_.last_place - 1) / kTilePlaces;
    const int own = self_ ? first_query() / kTilePlaces : first;
    Tiles to_copy(own, first, last), to_visit(own, first, last);
    int chunk_to_copy = 0, tile_to_copy = to_copy.next(), stage_to_copy = 0;
    const auto copy_next = [&] {
      if (tile_to_copy >= 0) {
        copy_stage(memory_.stages[stage_to_copy], tile_to_copy, chunk_to_copy);
        if (!kInParts || ++chunk_to_copy == wide_.chunks) {
          chunk_to_copy = 0;
          tile_to_copy = to_copy.next();
        }
      }
      end_of_stage();
      stage_to_copy = stage_to_copy + 1 == kStages ? 0 : stage_to_copy + 1;
    };
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) copy_next();
    uint4 mine[kFragments][kSteps];
    if constexpr (!kInParts) load_fragments(mine, 0);
    float all[kInParts ? kBlocks16 : 1][kFragments][2][4];
    int stage = 0;
    for (int tile = to_visit.next(); tile >= 0; tile = to_visit.next()) {
      for (int chunk = 0; chunk < (kInParts ? wide_.chunks : 1); ++chunk) {
        wait_for_stage<kStages - 2>();
        __syncthreads();
        copy_next();
        const Stage<kSteps>& here = memory_.stages[stage];
        stage = stage + 1 == kStages ? 0 : stage + 1;
        if constexpr (kInParts) {
          load_fragments(mine, chunk);
#pragma unroll
          for (int block = 0; block < kBlocks16; ++block) {
            if (chunk == 0) start_sums(here.head, block, all[block]);
            multiply_block(here, block, mine, all[block]);
          }
          if (chunk + 1 < wide_.chunks) continue;
        }
        float threshold[kFragments][2];
        load_thresholds(here.head, threshold);
#pragma unroll
        for (int block = 0; block < kBlocks16; ++block) {
          float(&sum)[kFragments][2][4] = all[kInParts ? block : 0];
          if constexpr (!kInParts) {
            start_sums(here.head, block, sum);
            multiply_block(here, block, mine, sum);
          }
          collect(sum, threshold, tile * kTilePlaces + block * kFragmentRows);
        }
      }
      __syncwarp();
      measure(kMeasureAt, tile);
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
      for (int step = 0; step < kSteps; ++step)
        mine[fragment][step] = packed_queries().halves[(at * kSteps + step) * 32 + lane];
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

  __device__ static void multiply_block(const Stage<kSteps>& stage, int block, const uint4 (&mine)[kFragments][kSteps],
                                        float (&sum)[kFragments][2][4]) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const uint4 other = stage.halves[(block * kSteps + step) * 32 + threadIdx.x % 32];
#pragma unroll
      for (int fragment = 0; fragment < kFragments; ++fragment) {
        multiply(sum[fragment][0], mine[fragment][step], other.x, other.z);
        multiply(sum[fragment][1], mine[fragment][step], other.y, other.w);
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

  /// Collects the pairs that pass the filter of 16 places.
  __device__ void collect(const float (&sum)[kFragments][2][4], const float (&threshold)[kFragments][2], int place) {
    bool some[kFragments], any = false;
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment) {
      some[fragment] = false;
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int i = 0; i < 4; ++i) some[fragment] |= sum[fragment][half][i] >= threshold[fragment][i / 2];
      any |= some[fragment];
    }
    if (!any) return;
#pragma unroll
    for (int fragment = 0; fragment < kFragments; ++fragment) {
      if (!some[fragment]) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (sum[fragment][half][i] >= threshold[fragment][i / 2])
            take(query_of(fragment, i / 2), place + half * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2);
    }
  }

  __device__ void take(int query, int place) {
    if (place < queries_.first[query] || place >= queries_.last[query]) return;
    const int at = atomicAdd(&queries_.number[query], 1);
    if (at < kPending) queries_.pending[query][at] = place;
  }

  /// Measures the pairs of the warp's queries that have at least so many. Where there were more than fit, all points of
  /// `tile`, which they are of, are measured.
  __device__ void measure(int at_least, int tile) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll 1
    for (int begin = warp * kWarpQueries; begin < (warp + 1) * kWarpQueries; begin += 32) {
      unsigned some = __ballot_sync(kWarp, queries_.number[begin + lane] >= at_least);
#pragma unroll 1
      for (; some != 0; some &= some - 1) measure_query(begin + __ffs(static_cast<int>(some)) - 1, tile);
    }
  }

  __device__ void measure_query(int query, int tile) {
    const int lane = threadIdx.x % 32, number = queries_.number[query];
    int place = lane < number ? queries_.pending[query][lane] : -1;
    Place output{};
    int size = queries_.size[query];
    if (wide_.count == nullptr) {
      output = place_of(query);
      if (leads(query)) {
        ++output.begin;
        --output.capacity;
      }
    }
    BestRow<T> best(wide_.index + output.begin, wide_.distance2 + output.begin, output.capacity, size);
    const bool overflows = number > kPending;
    if (overflows && place / kTilePlaces == tile) place = -1;
#pragma unroll 1
    for (int next = 0; next <= (overflows ? kTilePlaces : 0); next += 32) {
      Key<T> key = last_key<T>();
      if (place >= queries_.first[query] && place < queries_.last[query]) {
        const std::int32_t other = wide_.order[place];
        if (other >= 0 && !(self_ && other == queries_.row[query])) {
          const T* const rows = self_ ? wide_.points : wide_.queries;
          const T d2 = distance2(rows + static_cast<std::int64_t>(queries_.row[query]) * wide_.dimensions,
                                 wide_.points + static_cast<std::int64_t>(other) * wide_.dimensions, wide_.dimensions,
                                 in_fours_);
          if (d2 <= wide_.radius2) key = {d2, static_cast<std::uint32_t>(other)};
        }
      }
      if (wide_.count == nullptr)
        best.add(key);
      else
        size += __popc(__ballot_sync(kWarp, key.tie != kWarp));
      place = tile * kTilePlaces + next + lane;
    }
    __syncwarp();
    if (lane == 0) {
      queries_.number[query] = 0;
      queries_.size[query] = wide_.count == nullptr ? best.size() : size;
      if (wide_.count == nullptr && best.full()) set_reach(query, best[best.size() - 1].distance2);
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
  Queries<kQueries>& queries_;
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
