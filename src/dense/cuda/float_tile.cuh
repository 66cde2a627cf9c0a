#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/mma.cuh"
#include "cuda/warp.cuh"
#include "dense/cuda/packing.h"

// Dense layers with LayerNorm on the tile of one warp, in the arithmetic of float_kernels.h, operation for operation:
// the same bytes as on the host. Sources that include it are compiled without contraction.
namespace starling::dense::cuda {

/// The packed weights of a pass, [rows, kColumns], as a block of threads goes through them, tile after tile. Resident:
/// all in shared memory from the start. Else in slices, the next one on its way while one is used; all threads of the
/// block must then take the same steps.
template <int kColumns, bool kResident>
class WeightStream {
 public:
  static constexpr bool kStays = kResident;
  // With the rows of 8 warps within the 99 KB of shared memory that a block has on smaller cards.
  static constexpr int kSliceRows = (kColumns == 64 ? 3584 : 4096) / kColumns / kInputStep * kInputStep;

  /// Floats of shared memory.
  static __host__ __device__ constexpr int floats(int rows) { return kColumns * (kResident ? rows : 2 * kSliceRows); }

  /// Called by all threads.
  __device__ WeightStream(const float* weights, int rows, float* shared)
      : weights_(weights), rows_(rows), shared_(shared) {
    fetch(0, kResident ? rows : min(kSliceRows, rows), shared);
    if constexpr (kResident) {
      starling::cuda::wait_for_copies<0>();
      __syncthreads();
    }
  }

  /// The next rows, at most `wanted`: returns the first, and in `here` how many lie behind it.
  __device__ const float* take(int wanted, int& here) {
    const int at = at_;
    if constexpr (kResident) {
      here = wanted;
      at_ = at + wanted == rows_ ? 0 : at + wanted;
      return shared_ + at * kColumns;
    } else {
      const int in_slice = at % kSliceRows;
      if (in_slice == 0) {
        // After the barrier the copies of every thread are there, and nobody reads the slice before any more.
        starling::cuda::wait_for_copies<0>();
        __syncthreads();
        const int next = at + kSliceRows < rows_ ? at + kSliceRows : 0;
        side_ ^= 1;
        fetch(next, min(kSliceRows, rows_ - next), shared_ + (side_ ^ 1) * kSliceRows * kColumns);
      }
      here = min(wanted, kSliceRows - in_slice);
      at_ = at + here == rows_ ? 0 : at + here;
      return shared_ + (side_ * kSliceRows + in_slice) * kColumns;
    }
  }

  /// Passes over rows. Only where weights stay: other threads may need them.
  __device__ void skip(int rows) {
    static_assert(kResident);
    at_ = at_ + rows == rows_ ? 0 : at_ + rows;
  }

  /// Before the block ends: no copy is on its way any more.
  __device__ void finish() const { starling::cuda::wait_for_copies<0>(); }

 private:
  __device__ void fetch(int first, int rows, float* to) const {
    const float* const from = weights_ + static_cast<std::int64_t>(first) * kColumns;
    for (int i = 4 * static_cast<int>(threadIdx.x); i < rows * kColumns; i += 4 * static_cast<int>(blockDim.x))
      starling::cuda::copy_16(to + i, from + i);
    starling::cuda::commit_copies();
  }

  const float* weights_;
  int rows_;
  float* shared_;
  int at_ = 0;
  int side_ = 1;  ///< of the two slices, the one in use: the first fetch went to 0
};

/// The outputs of a layer of at most 16 kSixteens columns for the rows of one warp. A thread has 8 rows and pairs of
/// columns 16 apart, so that it owns two of the 16 partial sums of squares, or half of each where 16 threads share a
/// row. Rows of inputs lie in shared memory, kStride floats apart: threads of one warp read different banks.
template <int kSixteens>
struct FloatTile {
  static constexpr int kColumns = 16 * kSixteens;
  static constexpr int kHalves = kSixteens > 4 ? 2 : 1, kPairs = kSixteens / kHalves;
  static constexpr int kThreadRows = 4 / kHalves;  ///< of the warp's threads
  static constexpr int kEach = 8;                  ///< rows per thread
  static constexpr int kRows = kEach * kThreadRows;
  static constexpr int kStride = kColumns + 4;
  static constexpr int kFloats = kRows * kStride;  ///< of shared memory
  static_assert(kSixteens % kHalves == 0 && kPairs <= 4);

  float sum[kEach][2 * kPairs];

  static __device__ int tx() { return threadIdx.x % 8; }
  static __device__ int half() { return threadIdx.x % 32 / 8 % kHalves; }
  static __device__ int row(int r) { return threadIdx.x % 32 / (8 * kHalves) + kThreadRows * r; }
  static __device__ int column(int pair) { return 2 * tx() + 16 * (half() * kPairs + pair); }

  __device__ void clear() {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
#pragma unroll
      for (int c = 0; c < 2 * kPairs; ++c) sum[r][c] = 0.f;
    }
  }

  /// Adds the products of `depth` inputs in ascending order: columns 0.. of the rows at `inputs`.
  template <typename Stream>
  __device__ void add(const float* inputs, int depth, Stream& stream) {
    const float* a = inputs + row(0) * kStride;
    for (int left = (depth + kInputStep - 1) / kInputStep * kInputStep; left > 0;) {
      int here;
      const float* const weights = stream.take(left, here);
      left -= here;
      const int inputs_here = min(here, depth);
      depth -= inputs_here;
      int k = 0;
#pragma unroll 1
      for (; k + kInputStep <= inputs_here; k += kInputStep) {
        float4 four[kEach];
#pragma unroll
        for (int r = 0; r < kEach; ++r) four[r] = *reinterpret_cast<const float4*>(a + r * (kThreadRows * kStride) + k);
        add_input(weights + (k + 0) * kColumns, [&](int r) { return four[r].x; });
        add_input(weights + (k + 1) * kColumns, [&](int r) { return four[r].y; });
        add_input(weights + (k + 2) * kColumns, [&](int r) { return four[r].z; });
        add_input(weights + (k + 3) * kColumns, [&](int r) { return four[r].w; });
      }
#pragma unroll 1
      for (; k < inputs_here; ++k)
        add_input(weights + k * kColumns, [&](int r) { return a[r * (kThreadRows * kStride) + k]; });
      a += here;
    }
  }

  /// sum *= factor of the row.
  __device__ void scale(const float (&factor)[kEach]) {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
#pragma unroll
      for (int c = 0; c < 2 * kPairs; ++c) sum[r][c] *= factor[r];
    }
  }

  __device__ void add_bias(const float* bias) {
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      const float2 two = *reinterpret_cast<const float2*>(bias + column(p));
#pragma unroll
      for (int r = 0; r < kEach; ++r) {
        sum[r][2 * p] += two.x;
        sum[r][2 * p + 1] += two.y;
      }
    }
  }

  /// Adds rows src[r] and dst[r] of two arrays of kColumns, or of a panel of wider ones, to the first `rows` rows, and
  /// anything to the others.
  __device__ void add_gathered(const float* by_src, const float* by_dst, std::int64_t stride, const std::int32_t* src,
                               const std::int32_t* dst, int rows) {
    // Rows that are not there read what the last one reads: without branches many loads are on their way at once.
    constexpr int kAhead = 4;
#pragma unroll
    for (int first = 0; first < kEach; first += kAhead) {
      std::int32_t from[kAhead], to[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int r = min(row(first + i), rows - 1);
        from[i] = rows > 0 ? src[r] : 0;
        to[i] = rows > 0 ? dst[r] : 0;
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
#pragma unroll
        for (int p = 0; p < kPairs; ++p) {
          const float2 a = *reinterpret_cast<const float2*>(by_src + from[i] * stride + column(p));
          const float2 b = *reinterpret_cast<const float2*>(by_dst + to[i] * stride + column(p));
          sum[first + i][2 * p] += a.x + b.x;
          sum[first + i][2 * p + 1] += a.y + b.y;
        }
      }
    }
  }

  /// Continues the partial sums of squares 2 tx and 2 tx + 1 of each row.
  __device__ void add_squares(float (&squares)[kEach][2]) const {
#pragma unroll
    for (int turn = 0; turn < kHalves; ++turn) {
      if (half() == turn) {
#pragma unroll
        for (int r = 0; r < kEach; ++r) {
#pragma unroll
          for (int p = 0; p < kPairs; ++p) {
            squares[r][0] = fmaf(sum[r][2 * p], sum[r][2 * p], squares[r][0]);
            squares[r][1] = fmaf(sum[r][2 * p + 1], sum[r][2 * p + 1], squares[r][1]);
          }
        }
      }
      if constexpr (kHalves == 2) {
        // Columns ascend from half to half.
#pragma unroll
        for (int r = 0; r < kEach; ++r) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const float other = __shfl_xor_sync(starling::cuda::kWarp, squares[r][i], 8);
            if (half() != turn) squares[r][i] = other;
          }
        }
      }
    }
  }

  /// 1 / √(sum of squares / width + ε) of each row. The 16 partial sums are added in halves; a thread ends with one
  /// row.
  static __device__ void finish_squares(const float (&squares)[kEach][2], float width, float epsilon,
                                        float (&inverse)[kEach]) {
    float four[4][2], two[2][2], one[2];
    halve<4>(squares, four);
    halve<2>(four, two);
    const bool upper = tx() % 2 == 1;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float keep = upper ? two[1][i] : two[0][i], give = upper ? two[0][i] : two[1][i];
      one[i] = keep + __shfl_xor_sync(starling::cuda::kWarp, give, 1);
    }
    const float own = 1.f / sqrtf((one[0] + one[1]) / width + epsilon);
#pragma unroll
    for (int r = 0; r < kEach; ++r)
      inverse[r] = __shfl_sync(starling::cuda::kWarp, own, static_cast<int>(threadIdx.x % 32) / 8 * 8 + r);
  }

  __device__ void relu() {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
#pragma unroll
      for (int c = 0; c < 2 * kPairs; ++c) sum[r][c] = sum[r][c] < 0.f ? 0.f : sum[r][c];  // NaN stays
    }
  }

  /// Rows 0 .. rows − 1 to an array.
  __device__ void store(float* to, std::int64_t stride, int rows) const {
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      if (row(r) >= rows) continue;
      float* const at = to + row(r) * stride;
#pragma unroll
      for (int p = 0; p < kPairs; ++p)
        *reinterpret_cast<float2*>(at + column(p)) = make_float2(sum[r][2 * p], sum[r][2 * p + 1]);
    }
  }

 private:
  template <typename Value>
  __device__ __forceinline__ void add_input(const float* weights, const Value& value) {
    float w[2 * kPairs];
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      const float2 two = *reinterpret_cast<const float2*>(weights + column(p));
      w[2 * p] = two.x, w[2 * p + 1] = two.y;
    }
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
#pragma unroll
      for (int c = 0; c < 2 * kPairs; ++c) sum[r][c] = fmaf(value(r), w[c], sum[r][c]);
    }
  }

  /// Adds the sums of threads `step` apart; each keeps half of the rows.
  template <int step>
  static __device__ void halve(const float (&from)[2 * step][2], float (&to)[step][2]) {
    const bool upper = (tx() & step) != 0;
#pragma unroll
    for (int r = 0; r < step; ++r) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float keep = upper ? from[r + step][i] : from[r][i], give = upper ? from[r][i] : from[r + step][i];
        to[r][i] = keep + __shfl_xor_sync(starling::cuda::kWarp, give, step);
      }
    }
  }
};

}  // namespace starling::dense::cuda
