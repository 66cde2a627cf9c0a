#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/mma.cuh"
#include "cuda/warp.cuh"

// Dense layers with LayerNorm on 16 rows per warp, products on tensor cores, sums and normalisation in float. A row
// stays with the four threads of a quad: its sum of squares is two exchanges, and the outputs of a layer, rounded to 16
// bits, are in the registers in which the next product reads its inputs.
namespace starling::dense::cuda {

/// Two floats rounded to the nearest numbers of type T, the first in the lower half.
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high, __half) {
  return std::uint32_t{__half_as_ushort(__float2half_rn(low))} | std::uint32_t{__half_as_ushort(__float2half_rn(high))}
                                                                     << 16;
}
__device__ __forceinline__ std::uint32_t pack_pair(float low, float high, __nv_bfloat16) {
  return std::uint32_t{__bfloat16_as_ushort(__float2bfloat16_rn(low))} |
         std::uint32_t{__bfloat16_as_ushort(__float2bfloat16_rn(high))} << 16;
}
__device__ __forceinline__ float2 unpack_pair(std::uint32_t pair, __half) {
  return make_float2(__half2float(__ushort_as_half(static_cast<unsigned short>(pair))),
                     __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16))));
}
__device__ __forceinline__ float2 unpack_pair(std::uint32_t pair, __nv_bfloat16) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}

/// The largest number of type T: sums of many messages are cut to it.
__device__ __forceinline__ float largest(__half) { return 65504.f; }
__device__ __forceinline__ float largest(__nv_bfloat16) { return __uint_as_float(0x7f7f0000u); }

/// Where element (input, column) of a matrix [16 kSixteens, 16 kSixteens] stands in packed memory: each thread of a
/// warp reads the fragments of two products as 16 bytes.
__host__ __device__ constexpr int packed_index(int input, int column, int sixteens) {
  const int thread = column % 8 * 4 + input % 8 / 2;
  const int tile = input / 16 * sixteens + column / 16;
  return (tile * 32 + thread) * 8 + column % 16 / 8 * 4 + input % 16 / 8 * 2 + input % 2;
}

/// Rows of states in memory are kSixteens · 16 numbers in the order of the registers: of each 16 columns, thread q of a
/// quad has 2q, 2q + 1, 2q + 8 and 2q + 9, side by side.
__host__ __device__ constexpr int state_index(int column) {
  return column / 16 * 16 + column % 8 / 2 * 4 + column % 16 / 8 * 2 + column % 2;
}

template <typename T, int kSixteens>
struct TensorTile {
  static constexpr int kColumns = 16 * kSixteens, kRows = 16;
  static constexpr int kMatrixVectors = kSixteens * kSixteens * 32;  ///< of 16 bytes

  float sum[2 * kSixteens][4];         ///< see mma.cuh
  std::uint32_t inputs[kSixteens][4];  ///< fragments A

  static __device__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  /// The rows of a thread are row() and row() + 8; its columns 8 j + first_column() and the next, for all j.
  static __device__ int row() { return lane() / 4; }
  static __device__ int first_column() { return lane() % 4 * 2; }

  __device__ void clear() {
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[j][i] = 0.f;
    }
  }

  /// sum += inputs · matrix.
  __device__ __forceinline__ void multiply(const uint4* matrix) {
#pragma unroll
    for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
      for (int n = 0; n < kSixteens; ++n) {
        const uint4 b = matrix[(k * kSixteens + n) * 32 + lane()];
        starling::cuda::multiply_add(sum[2 * n], inputs[k], b.x, b.y, T());
        starling::cuda::multiply_add(sum[2 * n + 1], inputs[k], b.z, b.w, T());
      }
    }
  }

  /// Rows of states become the inputs; those from `count` on are zeros.
  __device__ void load(const T* rows, int count) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      const uint2* const from = reinterpret_cast<const uint2*>(rows + std::int64_t{r} * kColumns) + lane() % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const uint2 two = r < count ? from[4 * k] : make_uint2(0, 0);
        inputs[k][half] = two.x;
        inputs[k][2 + half] = two.y;
      }
    }
  }

  __device__ void store(T* rows, int count) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      if (r >= count) continue;
      uint2* const to = reinterpret_cast<uint2*>(rows + std::int64_t{r} * kColumns) + lane() % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) to[4 * k] = make_uint2(inputs[k][half], inputs[k][2 + half]);
    }
  }

  /// Sums of states become the inputs: of rows list[splits[r]] .. list[splits[r + 1] − 1], or without a list of these
  /// rows themselves, added in float and in this order. Wide rows in two halves: the sums of products stay in
  /// registers.
  __device__ void load_sums(const T* states, const std::uint32_t* splits, const std::uint32_t* list, int count) {
    constexpr int kAhead = 4, kWide = kSixteens > 4 ? kSixteens / 2 : kSixteens;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      const std::uint32_t begin = r < count ? splits[r] : 0, end = r < count ? splits[r + 1] : 0;
#pragma unroll
      for (int first = 0; first < kSixteens; first += kWide) {
        float total[kWide][4] = {};
        const auto at = [&](std::uint32_t i) {
          return reinterpret_cast<const uint2*>(states + std::int64_t{list != nullptr ? list[i] : i} * kColumns) +
                 4 * first + lane() % 4;
        };
        const auto add = [&](const uint2(&message)[kWide]) {
#pragma unroll
          for (int k = 0; k < kWide; ++k) {
            const float2 low = unpack_pair(message[k].x, T()), high = unpack_pair(message[k].y, T());
            total[k][0] += low.x, total[k][1] += low.y, total[k][2] += high.x, total[k][3] += high.y;
          }
        };
        std::uint32_t i = begin;
#pragma unroll 1
        for (; i + kAhead <= end; i += kAhead) {
          uint2 message[kAhead][kWide];
#pragma unroll
          for (int ahead = 0; ahead < kAhead; ++ahead) {
            const uint2* const from = at(i + static_cast<std::uint32_t>(ahead));
#pragma unroll
            for (int k = 0; k < kWide; ++k) message[ahead][k] = from[4 * k];
          }
#pragma unroll
          for (int ahead = 0; ahead < kAhead; ++ahead) add(message[ahead]);
        }
#pragma unroll 1
        for (; i < end; ++i) {
          uint2 message[kWide];
#pragma unroll
          for (int k = 0; k < kWide; ++k) message[k] = at(i)[4 * k];
          add(message);
        }
#pragma unroll
        for (int k = 0; k < kWide; ++k) {
          inputs[first + k][half] = pack_pair(cut(total[k][0]), cut(total[k][1]), T());
          inputs[first + k][2 + half] = pack_pair(cut(total[k][2]), cut(total[k][3]), T());
        }
      }
    }
    __syncwarp();
  }

  __device__ void add_bias(const float* bias) {
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
      const float2 two = *reinterpret_cast<const float2*>(bias + 8 * j + first_column());
      sum[j][0] += two.x, sum[j][1] += two.y, sum[j][2] += two.x, sum[j][3] += two.y;
    }
  }

  /// Adds row src[r] of one array of states and row dst[r] of another to the first `rows` rows.
  __device__ void add_gathered(const T* by_src, const T* by_dst, const std::int32_t* src, const std::int32_t* dst,
                               int rows) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      if (r >= rows) continue;
      const auto at = [&](const T* states, std::int32_t i) {
        return reinterpret_cast<const uint2*>(states + std::int64_t{i} * kColumns) + lane() % 4;
      };
      const uint2 *const from = at(by_src, src[r]), *const to = at(by_dst, dst[r]);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const uint2 a = from[4 * k], b = to[4 * k];
        const float2 a_low = unpack_pair(a.x, T()), b_low = unpack_pair(b.x, T());
        const float2 a_high = unpack_pair(a.y, T()), b_high = unpack_pair(b.y, T());
        sum[2 * k][2 * half] += a_low.x + b_low.x;
        sum[2 * k][2 * half + 1] += a_low.y + b_low.y;
        sum[2 * k + 1][2 * half] += a_high.x + b_high.x;
        sum[2 * k + 1][2 * half + 1] += a_high.y + b_high.y;
      }
    }
    __syncwarp();
  }

  /// LayerNorm of outputs whose mean is 0 (see FloatPacker): times 1 / √(mean of squares + ε).
  __device__ void normalise(float share, float epsilon) {
    float squares[2] = {};
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) squares[i / 2] += sum[j][i] * sum[j][i];
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) squares[half] = rsqrtf(sum_of_quad(squares[half]) * share + epsilon);
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[j][i] *= squares[i / 2];
    }
  }

  __device__ void relu() {
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[j][i] = sum[j][i] < 0.f ? 0.f : sum[j][i];  // NaN stays
    }
  }

  /// The outputs become the inputs of the next layer.
  __device__ void keep() {
#pragma unroll
    for (int k = 0; k < kSixteens; ++k) {
      inputs[k][0] = pack_pair(sum[2 * k][0], sum[2 * k][1], T());
      inputs[k][1] = pack_pair(sum[2 * k][2], sum[2 * k][3], T());
      inputs[k][2] = pack_pair(sum[2 * k + 1][0], sum[2 * k + 1][1], T());
      inputs[k][3] = pack_pair(sum[2 * k + 1][2], sum[2 * k + 1][3], T());
    }
  }

  /// The product of row() + 8 half with a column, in float; all threads of the quad have it.
  __device__ float product(const float* column, int half) const {
    float total = 0.f;
#pragma unroll
    for (int j = 0; j < 2 * kSixteens; ++j) {
      const float2 two = *reinterpret_cast<const float2*>(column + 8 * j + first_column());
      total += sum[j][2 * half] * two.x + sum[j][2 * half + 1] * two.y;
    }
    return sum_of_quad(total);
  }

 private:
  static __device__ float sum_of_quad(float value) {
    value += __shfl_xor_sync(starling::cuda::kWarp, value, 1);
    return value + __shfl_xor_sync(starling::cuda::kWarp, value, 2);
  }
  static __device__ float cut(float value) { return value > largest(T()) ? largest(T()) : value; }  // NaN stays
};

}  // namespace starling::dense::cuda
