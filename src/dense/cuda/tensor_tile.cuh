#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/group_mma.cuh"
#include "cuda/warp.cuh"

// Dense layers with LayerNorm on 64 rows per warpgroup, 16 per warp: products on tensor cores, sums and normalisation
// in float. A row stays with the four threads of a quad: its sum of squares is two exchanges, and the outputs of a
// layer, rounded to 16 bits, are in the registers in which the next product reads its inputs.
namespace starling::dense::cuda {

/// Two floats rounded to the nearest numbers of type T, the first in the lower half.
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high, __half) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high, __nv_bfloat16) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
__device__ __forceinline__ float2 unpack_pair(std::uint32_t pair, __half) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}
__device__ __forceinline__ float2 unpack_pair(std::uint32_t pair, __nv_bfloat16) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

/// ReLU of a pair; NaN stays.
__device__ __forceinline__ std::uint32_t relu_pair(std::uint32_t pair, __half) {
  const __half2 value = __hmax2_nan(*reinterpret_cast<const __half2*>(&pair), __half2{__half(0.f), __half(0.f)});
  return *reinterpret_cast<const std::uint32_t*>(&value);
}
__device__ __forceinline__ std::uint32_t relu_pair(std::uint32_t pair, __nv_bfloat16) {
  const __nv_bfloat162 zero = __floats2bfloat162_rn(0.f, 0.f);
  const __nv_bfloat162 value = __hmax2_nan(*reinterpret_cast<const __nv_bfloat162*>(&pair), zero);
  return *reinterpret_cast<const std::uint32_t*>(&value);
}

/// Rows of states in memory are kSixteens · 16 numbers in the order of the registers: of each 16 columns, thread q of a
/// quad has 2q, 2q + 1, 2q + 8 and 2q + 9, side by side.
__host__ __device__ constexpr int state_index(int column) {
  return column / 16 * 16 + column % 8 / 2 * 4 + column % 16 / 8 * 2 + column % 2;
}

/// The 16 rows of a warp as inputs of a product: fragments A of mma.cuh.
template <typename T, int kSixteens>
struct TensorInputs {
  static constexpr int kColumns = 16 * kSixteens;

  std::uint32_t words[kSixteens][4];

  /// Rows of states; those from `count` on are zeros.
  __device__ __forceinline__ void load(const T* rows, int count) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = static_cast<int>(threadIdx.x % 32 / 4) + 8 * half;
      const uint2* const from = reinterpret_cast<const uint2*>(rows + std::int64_t{r} * kColumns) + threadIdx.x % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const uint2 two = r < count ? from[4 * k] : make_uint2(0, 0);
        words[k][half] = two.x;
        words[k][2 + half] = two.y;
      }
    }
  }

  __device__ __forceinline__ void store(T* rows, int count) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = static_cast<int>(threadIdx.x % 32 / 4) + 8 * half;
      if (r >= count) continue;
      uint2* const to = reinterpret_cast<uint2*>(rows + std::int64_t{r} * kColumns) + threadIdx.x % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) to[4 * k] = make_uint2(words[k][half], words[k][2 + half]);
    }
  }
};

/// The outputs of a layer for the rows of a warp.
template <typename T, int kSixteens>
struct TensorTile {
  static constexpr int kColumns = 16 * kSixteens, kRows = 16;
  static constexpr int kGroup = 128, kGroupRows = 64;  ///< threads of a warpgroup, and their rows
  using Inputs = TensorInputs<T, kSixteens>;

  float sum[2 * kSixteens][4];  ///< see mma.cuh

  static __device__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  /// The rows of a thread are row() and row() + 8; its columns 8 j + first_column() and the next, for all j.
  static __device__ int row() { return lane() / 4; }
  static __device__ int first_column() { return lane() % 4 * 2; }

  /// Outputs begin at the bias, at 0 where it is null.
  __device__ __forceinline__ void begin(const float* bias) {
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
      const float2 two =
          bias != nullptr ? *reinterpret_cast<const float2*>(bias + 8 * j + first_column()) : make_float2(0.f, 0.f);
      sum[j][0] = sum[j][2] = two.x;
      sum[j][1] = sum[j][3] = two.y;
    }
  }

  /// Outputs begin at row src[half] of one array of states plus row dst[half] of another, for row() + 8 half; at 0
  /// where src[half] is negative.
  __device__ __forceinline__ void begin_gathered(const T* by_src, const T* by_dst, const std::int32_t (&src)[2],
                                                 const std::int32_t (&dst)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto at = [&](const T* states, std::int32_t i) {
        return reinterpret_cast<const uint2*>(states + std::int64_t{i} * kColumns) + lane() % 4;
      };
      const bool there = src[half] >= 0;
      const uint2 *const from = at(by_src, src[half]), *const to = at(by_dst, dst[half]);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const uint2 a = there ? from[4 * k] : make_uint2(0, 0), b = there ? to[4 * k] : make_uint2(0, 0);
        const float2 a_low = unpack_pair(a.x, T()), b_low = unpack_pair(b.x, T());
        const float2 a_high = unpack_pair(a.y, T()), b_high = unpack_pair(b.y, T());
        sum[2 * k][2 * half] = a_low.x + b_low.x;
        sum[2 * k][2 * half + 1] = a_low.y + b_low.y;
        sum[2 * k + 1][2 * half] = a_high.x + b_high.x;
        sum[2 * k + 1][2 * half + 1] = a_high.y + b_high.y;
      }
      // Registers for loads of wide rows last for one half at a time.
      if constexpr (kSixteens > 4) asm volatile("" ::: "memory");
    }
  }

  /// Adds inputs · matrix, of which the warps of the warpgroup have 16 rows each.
  __device__ __forceinline__ void multiply(Inputs& inputs, const uint4* matrix) {
    starling::cuda::multiply_group<T, kSixteens>(sum, inputs.words, matrix);
  }

  /// Adds the products of `inputs` features in float: rows places[0 .. count − 1] of an array, times weights
  /// [inputs, kColumns].
  __device__ void multiply_features(const float* features, const std::int32_t* places, int count, int inputs,
                                    const float* weights) {
    const float* from[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      from[half] = r < count ? features + std::int64_t{places[r]} * inputs : nullptr;
    }
#pragma unroll(kSixteens > 4 ? 1 : 2)
    for (int k = 0; k < inputs; ++k) {
      const float low = from[0] != nullptr ? from[0][k] : 0.f, high = from[1] != nullptr ? from[1][k] : 0.f;
#pragma unroll
      for (int j = 0; j < 2 * kSixteens; ++j) {
        const float2 two =
            *reinterpret_cast<const float2*>(weights + std::int64_t{k} * kColumns + 8 * j + first_column());
        sum[j][0] = fmaf(low, two.x, sum[j][0]);
        sum[j][1] = fmaf(low, two.y, sum[j][1]);
        sum[j][2] = fmaf(high, two.x, sum[j][2]);
        sum[j][3] = fmaf(high, two.y, sum[j][3]);
      }
    }
  }

  /// LayerNorm of outputs whose mean is 0 (see FloatPacker): times 1 / √(mean of squares + ε).
  __device__ __forceinline__ void normalise(float share, float epsilon) {
    float squares[2] = {};
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) squares[i / 2] = fmaf(sum[j][i], sum[j][i], squares[i / 2]);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) squares[half] = rsqrtf(sum_of_quad(squares[half]) * share + epsilon);
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[j][i] *= squares[i / 2];
    }
  }

  /// The outputs, rounded, become inputs of the next layer.
  __device__ __forceinline__ void keep(Inputs& inputs, bool relu) const {
#pragma unroll
    for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::uint32_t pair = pack_pair(sum[2 * k + i / 2][i % 2 * 2], sum[2 * k + i / 2][i % 2 * 2 + 1], T());
        inputs.words[k][i] = relu ? relu_pair(pair, T()) : pair;
      }
    }
  }

  /// The outputs, rounded, to the first `count` rows of states.
  __device__ __forceinline__ void store(T* rows, int count) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      if (r >= count) continue;
      uint2* const to = reinterpret_cast<uint2*>(rows + std::int64_t{r} * kColumns) + lane() % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        to[4 * k] = make_uint2(pack_pair(sum[2 * k][2 * half], sum[2 * k][2 * half + 1], T()),
                               pack_pair(sum[2 * k + 1][2 * half], sum[2 * k + 1][2 * half + 1], T()));
      }
    }
  }

  /// The product of ReLU of row() + 8 half with a column, in float; all threads of the quad have it.
  __device__ __forceinline__ float product(const float* column, int half) const {
    float total = 0.f;
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
      const float2 two = *reinterpret_cast<const float2*>(column + 8 * j + first_column());
      total = fmaf(relu(sum[j][2 * half]), two.x, total);
      total = fmaf(relu(sum[j][2 * half + 1]), two.y, total);
    }
    return sum_of_quad(total);
  }

 private:
  static __device__ float relu(float value) { return value < 0.f ? 0.f : value; }  // NaN stays
  static __device__ float sum_of_quad(float value) {
    value += __shfl_xor_sync(starling::cuda::kWarp, value, 1);
    return value + __shfl_xor_sync(starling::cuda::kWarp, value, 2);
  }
};

}  // namespace starling::dense::cuda
