#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "cuda/mma.cuh"
#include "interaction_step/cuda/rows.h"

// Numbers of rows, two neighbours at a time, and the operands of tensor cores. A slice is 16 columns of a warp's 16
// rows: with g = lane / 4 and q = lane % 4 a lane holds of rows g and g + 8 the columns 2q and 2q + 1, then of both
// 2q + 8 and 2q + 9. So lie two neighbouring tiles of sums, and so the next product takes them: between two layers no
// number leaves its lane. The product of TF32 numbers, of eight columns each, takes column 2q for its q and 2q + 1 for
// its q + 4, in the weights too.
namespace starling::interactionstep::cuda {
namespace {

using namespace starling::cuda;

struct Pair {
  float x = 0, y = 0;
};

__device__ __forceinline__ Pair load_pair(const Rows& rows, std::int64_t row, int column) {
  Pair pair;
  if (column >= rows.width) return pair;
  const std::int64_t at = (row - rows.first) * rows.stride + column;
  if (rows.is_bfloat16) {
    const auto* const from = static_cast<const std::uint16_t*>(rows.data) + at;
    if (rows.whole) {
      const std::uint32_t both = *reinterpret_cast<const std::uint32_t*>(from);
      return {__uint_as_float(both << 16), __uint_as_float(both & 0xFFFF0000U)};
    }
    pair.x = __uint_as_float(std::uint32_t{from[0]} << 16);
    if (column + 1 < rows.width) pair.y = __uint_as_float(std::uint32_t{from[1]} << 16);
    return pair;
  }
  const auto* const from = static_cast<const float*>(rows.data) + at;
  if (rows.whole) {
    const float2 both = *reinterpret_cast<const float2*>(from);
    return {both.x, both.y};
  }
  pair.x = from[0];
  if (column + 1 < rows.width) pair.y = from[1];
  return pair;
}

/// The lower half holds x, rounded to bfloat16.
__device__ __forceinline__ std::uint32_t pack_bfloat16(float x, float y) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(x, y);
  std::uint32_t bits;
  memcpy(&bits, &both, sizeof(bits));
  return bits;
}

__device__ __forceinline__ void store_pair(const MutableRows& rows, std::int64_t row, int column, float x, float y) {
  if (column >= rows.width) return;
  const std::int64_t at = (row - rows.first) * rows.stride + column;
  if (rows.is_bfloat16) {
    auto* const to = static_cast<std::uint16_t*>(rows.data) + at;
    const std::uint32_t both = pack_bfloat16(x, y);
    if (rows.whole) {
      *reinterpret_cast<std::uint32_t*>(to) = both;
      return;
    }
    to[0] = static_cast<std::uint16_t>(both);
    if (column + 1 < rows.width) to[1] = static_cast<std::uint16_t>(both >> 16);
    return;
  }
  auto* const to = static_cast<float*>(rows.data) + at;
  if (rows.whole) {
    *reinterpret_cast<float2*>(to) = {x, y};
    return;
  }
  to[0] = x;
  if (column + 1 < rows.width) to[1] = y;
}

__device__ __forceinline__ Pair gather_pair(const Gathered& gathered, std::int32_t index, int column) {
  if (static_cast<std::uint32_t>(index) >= static_cast<std::uint32_t>(gathered.num_rows)) return {};
  return load_pair(gathered.table, index, column);
}

/// A float as the sum of two TF32 numbers.
struct Split {
  std::uint32_t high, low;
};
__device__ __forceinline__ Split split(float value) {
  const std::uint32_t high = to_tf32(value);
  return {high, to_tf32(value - __uint_as_float(high))};
}

/// sums += a slice times its weights, a fragment per tile, and for TF32 per half of the slice.
template <Product kProduct>
struct Operands;

template <>
struct Operands<Product::split> {
  using Fragment = uint4;
  static constexpr int kHalves = 2;
  /// Of B(i, o) for the inputs of a half that a lane holds.
  __device__ static Fragment pack(const float (&b)[4], int half) {
    const Split first = split(b[2 * half]), second = split(b[2 * half + 1]);
    return {first.high, second.high, first.low, second.low};
  }
  template <int kTiles, int kStrips>
  __device__ static void multiply(const float (&a)[kStrips][8], const Fragment* weights,
                                  float (&sums)[kStrips][kTiles][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::uint32_t high[kStrips][4], low[kStrips][4];
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Split parts = split(a[m][4 * half + (i % 2) * 2 + i / 2]);
          high[m][i] = parts.high;
          low[m][i] = parts.low;
        }
      }
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const Fragment b = weights[(half * kTiles + j) * 32];
#pragma unroll
        for (int m = 0; m < kStrips; ++m) {
          multiply_add_tf32(sums[m][j], low[m], b.x, b.y);
          multiply_add_tf32(sums[m][j], high[m], b.z, b.w);
          multiply_add_tf32(sums[m][j], high[m], b.x, b.y);
        }
      }
    }
  }
};

template <>
struct Operands<Product::tf32> {
  using Fragment = uint2;
  static constexpr int kHalves = 2;
  __device__ static Fragment pack(const float (&b)[4], int half) {
    return {to_tf32(b[2 * half]), to_tf32(b[2 * half + 1])};
  }
  template <int kTiles, int kStrips>
  __device__ static void multiply(const float (&a)[kStrips][8], const Fragment* weights,
                                  float (&sums)[kStrips][kTiles][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::uint32_t high[kStrips][4];
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) high[m][i] = to_tf32(a[m][4 * half + (i % 2) * 2 + i / 2]);
      }
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const Fragment b = weights[(half * kTiles + j) * 32];
#pragma unroll
        for (int m = 0; m < kStrips; ++m) multiply_add_tf32(sums[m][j], high[m], b.x, b.y);
      }
    }
  }
};

template <>
struct Operands<Product::bfloat16> {
  using Fragment = uint2;
  static constexpr int kHalves = 1;
  __device__ static Fragment pack(const float (&b)[4], int) {
    return {pack_bfloat16(b[0], b[1]), pack_bfloat16(b[2], b[3])};
  }
  template <int kTiles, int kStrips>
  __device__ static void multiply(const float (&a)[kStrips][8], const Fragment* weights,
                                  float (&sums)[kStrips][kTiles][4]) {
    std::uint32_t packed[kStrips][4];
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) packed[m][i] = pack_bfloat16(a[m][2 * i], a[m][2 * i + 1]);
    }
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const Fragment b = weights[j * 32];
#pragma unroll
      for (int m = 0; m < kStrips; ++m) multiply_add(sums[m][j], packed[m], b.x, b.y, __nv_bfloat16());
    }
  }
};

}  // namespace
}  // namespace starling::interactionstep::cuda
