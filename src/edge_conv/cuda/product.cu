#include "edge_conv/cuda/product.h"

#include <cuda_runtime.h>

#include "edge_conv/cuda/rows.cuh"

// A warp takes a row and goes through its list in chunks of entries. The product is turned round: outputs are the rows
// of the tensor cores' tiles and entries the columns, eight to a tile, so that what a lane reads of its entry goes
// straight into its registers of the tile. The order of hidden features inside a product is free: lane t of four takes
// features 4t to 4t + 3 of each sixteen, in one load of 16 bytes (32 in double). The weights lie in shared memory as
// the tiles want them. Chunks shorter than their tiles leave tiles out.
namespace starling::edgeconv::cuda {

using namespace starling::cuda;

namespace {

constexpr int kOutputs = 64;     // per block of threads
constexpr int kFeatures = 16;    // hidden features of a step
constexpr int kRowsPerWarp = 4;  // of a stretch

/// Tiles of products: kRows outputs by eight entries, kDepth hidden features of a lane's four at once.
template <typename T>
struct Tile;

template <>
struct Tile<float> {
  static constexpr int kRows = 16, kDepth = 2, kWeights = 4, kValues = 4;
  static constexpr int kTiles = 4;   // of entries, per chunk
  static constexpr int kWarps = 12;  // per block: one block per multiprocessor
  __device__ static void multiply_add(float (&sum)[4], const float (&a)[4], const float (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
  }
};

template <>
struct Tile<double> {
  static constexpr int kRows = 8, kDepth = 1, kWeights = 1, kValues = 2;
  static constexpr int kTiles = 2;
  static constexpr int kWarps = 8;
  __device__ static void multiply_add(double (&sum)[2], const double (&a)[1], const double (&b)[1]) {
    asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+d"(sum[0]), "+d"(sum[1])
        : "d"(a[0]), "d"(b[0]));
  }
};

/// The nearest TF32 number.
__device__ __forceinline__ float to_tf32(float x) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
}
/// What to_tf32() leaves, rounded.
__device__ __forceinline__ float rest_of(float x, float high) { return to_tf32(x - high); }

template <typename T>
struct Four {
  T x[4];
};

template <typename T>
__device__ __forceinline__ Four<T> load_four(const T* row, int at, int width, bool whole) {
  Four<T> four;
  if (whole && at + 4 <= width) {
    using Vector = std::conditional_t<sizeof(T) == 4, float4, double2>;
    constexpr int kVectors = 4 * sizeof(T) / sizeof(Vector);
    Vector vectors[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; ++i) vectors[i] = __ldg(reinterpret_cast<const Vector*>(row + at) + i);
    memcpy(four.x, vectors, sizeof(vectors));
    return four;
  }
#pragma unroll
  for (int c = 0; c < 4; ++c) four.x[c] = at + c < width ? __ldg(row + at + c) : T(0);
  return four;
}

/// kSplit: float operands are sums of two TF32 numbers.
template <typename T, bool kSplit>
struct Shared {
  using Weights = T[Tile<T>::kWeights];
  static constexpr int kSteps = 4 / Tile<T>::kDepth;  // of each kFeatures
  static constexpr int kRowTiles = kOutputs / Tile<T>::kRows;
  static constexpr int kLanes = kRowTiles * kSteps * 32;  // of each kFeatures
  static std::size_t bytes(int hidden) {
    return std::size_t(kSplit ? 2 : 1) * ((hidden + kFeatures - 1) / kFeatures) * kLanes * sizeof(Weights);
  }
};

/// The larger; NaN where one is NaN.
__device__ __forceinline__ float larger(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
__device__ __forceinline__ double larger(double a, double b) { return a > b || a != a ? a : b; }

/// Takes the maximum of `best` and the sums of a chunk. Value v of tile t is entry 8t + 2 quarter + v % 2 of the chunk,
/// for output v / 2. Lanes that share outputs are not compared.
template <typename T>
__device__ __forceinline__ void take_maximum(
    const T (&sum)[kOutputs / Tile<T>::kRows][Tile<T>::kTiles][Tile<T>::kValues], int tiles, unsigned present,
    int first_present, std::int32_t place, int quarter, T (&best)[kOutputs / Tile<T>::kRows][Tile<T>::kValues / 2],
    std::int32_t (&slot)[kOutputs / Tile<T>::kRows][Tile<T>::kValues / 2]) {
  constexpr int kTiles = Tile<T>::kTiles, kRowTiles = kOutputs / Tile<T>::kRows, kOfTile = Tile<T>::kValues / 2;
  T largest[kRowTiles][kOfTile];
  bool is_nan = false;
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < kOfTile; ++c) {
      largest[r][c] = larger(sum[r][0][2 * c], sum[r][0][2 * c + 1]);
#pragma unroll
      for (int t = 1; t < kTiles; ++t)
        if (t < tiles) largest[r][c] = larger(largest[r][c], larger(sum[r][t][2 * c], sum[r][t][2 * c + 1]));
      is_nan = is_nan || largest[r][c] != largest[r][c];
    }
  }
  if (__any_sync(kWarp, is_nan)) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int n = 8 * t + 2 * quarter + e;
        if (t >= tiles || !(present >> n & 1U)) continue;
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
          for (int c = 0; c < kOfTile; ++c) {
            const T message = sum[r][t][2 * c + e];
            const bool wins = slot[r][c] < 0 || later_wins(best[r][c], message);
            best[r][c] = wins ? message : best[r][c];
            slot[r][c] = wins ? place + n : slot[r][c];
          }
        }
      }
    }
    return;
  }
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < kOfTile; ++c) {
      int n = 0;
#pragma unroll
      for (int t = kTiles - 1; t >= 0; --t) {
        if (t >= tiles) continue;
        n = sum[r][t][2 * c + 1] == largest[r][c] ? 8 * t + 1 : n;
        n = sum[r][t][2 * c] == largest[r][c] ? 8 * t : n;
      }
      const bool wins = slot[r][c] < 0 || largest[r][c] > best[r][c];
      best[r][c] = wins ? largest[r][c] : best[r][c];
      slot[r][c] = wins ? place + max(n + 2 * quarter, first_present) : slot[r][c];
    }
  }
}

template <typename T, bool kSplit>
__global__ void __launch_bounds__(32 * Tile<T>::kWarps, 1)
    product_kernel(const __grid_constant__ EdgeConv<T> conv, const __grid_constant__ EdgeConvResult<T> result,
                   const std::uint32_t* order, bool whole) {
  using S = Shared<T, kSplit>;
  using M = Tile<T>;
  constexpr int kTiles = M::kTiles, kChunk = 8 * kTiles, kRowTiles = S::kRowTiles;
  constexpr int kOfTile = M::kValues / 2;  // outputs of a lane in a tile
  extern __shared__ __align__(16) unsigned char memory[];
  T* const weights = reinterpret_cast<T*>(memory);
  const int lane = threadIdx.x % 32, group = lane / 4, quarter = lane % 4;
  const int groups = (conv.hidden + kFeatures - 1) / kFeatures;  // of hidden features
  const int first_output = blockIdx.y * kOutputs;
  T* const rest = weights + groups * S::kLanes * M::kWeights;

  for (int i = threadIdx.x; i < groups * S::kLanes * M::kWeights; i += 32 * M::kWarps) {
    const int which = i % M::kWeights, to = i / M::kWeights % 32, row_tile = i / (M::kWeights * 32) % kRowTiles,
              step = i / (M::kWeights * 32 * kRowTiles) % S::kSteps, g = i / (M::kWeights * S::kLanes);
    // Weights 0 and 1 of a lane are rows `group` and `group` + 8, 2 and 3 the same of the next feature.
    const int output = first_output + row_tile * M::kRows + to / 4 + which % 2 * 8;
    const int feature = g * kFeatures + to % 4 * 4 + step * M::kDepth + which / 2;
    T value = output < conv.outputs && feature < conv.hidden ? conv.weight[std::int64_t{output} * conv.hidden + feature]
                                                             : T(0);
    if constexpr (sizeof(T) == 4) {
      const float high = to_tf32(value);
      if constexpr (kSplit) rest[i] = rest_of(value, high);
      value = high;
    }
    weights[i] = value;
  }
  __syncthreads();

  // Outputs of this lane: tile r, value c of it is output r · kRows + group + 8c.
  T bias[kRowTiles][kOfTile];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < kOfTile; ++c) {
      const int output = first_output + r * M::kRows + group + 8 * c;
      bias[r][c] = conv.bias != nullptr && output < conv.outputs ? conv.bias[output] : T(0);
    }
  }

  // The rows of a block are kStretch at a time that stand together.
  constexpr int kStretch = kRowsPerWarp * M::kWarps;
  std::int64_t stretch = std::int64_t{blockIdx.x} * kStretch, row = 0, first = 0, end = 0;
  int turn = 0;
  const auto place_of_row = [&] { return stretch + turn * M::kWarps + threadIdx.x / 32; };
  const auto open_row = [&] {
    const bool is_there = place_of_row() < conv.num_rows;
    row = is_there ? row_at(order, place_of_row()) : 0;
    first = is_there ? first_entry(conv, row) : 0;
    end = is_there ? first_entry(conv, row + 1) : 0;
  };
  open_row();
  std::int64_t chunk = first;
  // The sources of the chunk to come are on their way while one is worked on.
  const auto load_chunk = [&] { return lane < kChunk ? load_source(conv, chunk + lane, end) : -1; };
  std::int32_t next = load_chunk();

  T best[kRowTiles][kOfTile] = {};
  std::int32_t slot[kRowTiles][kOfTile];
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int c = 0; c < kOfTile; ++c) slot[r][c] = -1;
  }
  std::int32_t found = 0;
  while (place_of_row() < conv.num_rows) {
    std::int32_t mine = next;
    const std::int64_t this_row = row;
    bool is_last = false;  // chunk of the row
    const auto place = static_cast<std::int32_t>(chunk - first);
    const int tiles = end - chunk >= kChunk ? kTiles : static_cast<int>((end - chunk + 7) / 8);
    chunk += kChunk;
    if (chunk >= end) {
      is_last = true;
      if (++turn == kRowsPerWarp) {
        turn = 0;
        stretch += std::int64_t{gridDim.x} * kStretch;
      }
      open_row();
      chunk = first;
    }
    next = load_chunk();

    const unsigned present = __ballot_sync(kWarp, mine >= 0);
    found += __popc(present);
    if (present != 0) {
      // An absent entry repeats the one before it that is there, or the first. So it cannot be the first of equal ones,
      // but where it stands before all: then its place is taken for that of the first.
      const int first_present = __ffs(present) - 1;
      const unsigned upto = present & ((2U << lane) - 1);
      mine = __shfl_sync(kWarp, mine, upto != 0 ? 31 - __clz(upto) : first_present);
      const T* const target = conv.target + this_row * conv.hidden;
      const T* source[kTiles];
      T sum[kRowTiles][kTiles][M::kValues];
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        source[t] = conv.source + std::int64_t{__shfl_sync(kWarp, mine, 8 * t + group)} * conv.hidden;
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
          for (int v = 0; v < M::kValues; ++v) sum[r][t][v] = bias[r][v / 2];
        }
      }
      Four<T> p, q[kTiles];
      const auto load = [&](int g) {
        const int at = g * kFeatures + 4 * quarter;
        p = load_four(target, at, conv.hidden, whole);
#pragma unroll
        for (int t = 0; t < kTiles; ++t)
          if (t < tiles) q[t] = load_four(source[t], at, conv.hidden, whole);
      };
      load(0);
      for (int g = 0; g < groups; ++g) {
        Four<T> hidden[kTiles];
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
#pragma unroll
          for (int c = 0; c < 4; ++c) hidden[t].x[c] = larger(p.x[c] + q[t].x[c], T(0));
        }
        if (g + 1 < groups) load(g + 1);
#pragma unroll
        for (int step = 0; step < S::kSteps; ++step) {
          T high[kTiles][M::kDepth], low[kTiles][M::kDepth];
#pragma unroll
          for (int t = 0; t < kTiles; ++t) {
#pragma unroll
            for (int d = 0; d < M::kDepth; ++d) {
              const T value = hidden[t].x[step * M::kDepth + d];
              high[t][d] = value;
              low[t][d] = T(0);
              if constexpr (sizeof(T) == 4) {
                high[t][d] = to_tf32(value);
                if constexpr (kSplit) low[t][d] = rest_of(value, high[t][d]);
              }
            }
          }
#pragma unroll
          for (int r = 0; r < kRowTiles; ++r) {
            const int at = (((g * S::kSteps + step) * kRowTiles + r) * 32 + lane) * M::kWeights;
            T w[M::kWeights], w_rest[M::kWeights];
            memcpy(w, __builtin_assume_aligned(weights + at, sizeof(w)), sizeof(w));
            if constexpr (kSplit) memcpy(w_rest, __builtin_assume_aligned(rest + at, sizeof(w)), sizeof(w));
#pragma unroll
            for (int t = 0; t < kTiles; ++t) {
              if (t >= tiles) break;
              if constexpr (kSplit) {
                M::multiply_add(sum[r][t], w, low[t]);
                M::multiply_add(sum[r][t], w_rest, high[t]);
              }
              M::multiply_add(sum[r][t], w, high[t]);
            }
          }
        }
      }
      take_maximum<T>(sum, tiles, present, first_present, place, quarter, best, slot);
    }
    if (!is_last) continue;

      // The four lanes that share outputs: the larger, of equal ones the first in the list, and the first NaN.
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
      for (int c = 0; c < kOfTile; ++c) {
#pragma unroll
        for (int step = 1; step < 4; step *= 2) {
          const T other = __shfl_xor_sync(kWarp, best[r][c], step);
          const std::int32_t other_slot = __shfl_xor_sync(kWarp, slot[r][c], step);
          const bool later = other_slot > slot[r][c];
          const bool takes =
              other_slot >= 0 &&
              (slot[r][c] < 0 || (later ? later_wins(best[r][c], other) : !later_wins(other, best[r][c])));
          best[r][c] = takes ? other : best[r][c];
          slot[r][c] = takes ? other_slot : slot[r][c];
        }
        const int output = first_output + r * M::kRows + group + 8 * c;
        if (r % 4 == quarter && output < conv.outputs) {
          result.out[this_row * conv.outputs + output] = best[r][c];
          if (result.kept != nullptr) result.kept[this_row * conv.outputs + output] = slot[r][c];
        }
        best[r][c] = T(0);
        slot[r][c] = -1;
      }
    }
    if (blockIdx.y == 0 && lane == 0 && result.found != nullptr) result.found[this_row] = found;
    found = 0;
  }
}

template <typename T, bool kSplit>
void launch(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, const std::uint32_t* order,
            const Execution& execution) {
  constexpr int kBlock = 32 * Tile<T>::kWarps;
  const bool whole = is_aligned(conv.target, conv.hidden, 4) && is_aligned(conv.source, conv.hidden, 4);
  const std::size_t bytes = Shared<T, kSplit>::bytes(conv.hidden);
  const auto kernel = product_kernel<T, kSplit>;
  const int resident = resident_blocks(kernel, kBlock, static_cast<std::int64_t>(bytes));
  const dim3 blocks(static_cast<unsigned>(std::min(blocks_of(conv.num_rows, Tile<T>::kWarps), resident)),
                    static_cast<unsigned>(blocks_of(conv.outputs, kOutputs)));
  kernel<<<blocks, kBlock, bytes, execution.stream>>>(conv, result, order, whole);
  call(cudaGetLastError());
}

}  // namespace

template <>
void max_of_products(const EdgeConv<float>& conv, const EdgeConvResult<float>& result, const std::uint32_t* order,
                     const Execution& execution) {
  if (conv.tf32)
    launch<float, false>(conv, result, order, execution);
  else
    launch<float, true>(conv, result, order, execution);
}

template <>
void max_of_products(const EdgeConv<double>& conv, const EdgeConvResult<double>& result, const std::uint32_t* order,
                     const Execution& execution) {
  launch<double, false>(conv, result, order, execution);
}

}  // namespace starling::edgeconv::cuda
