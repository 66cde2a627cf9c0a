#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/mma.cuh"
#include "interaction_step/cuda/rows.h"

// Numbers of rows, four neighbours at a time, and the operands of tensor cores. A slice is 16 columns of a warp's 16
// rows: with g = lane / 4 and q = lane % 4 a lane holds of rows g and g + 8 the columns 4q and 4q + 1, then of both
// 4q + 2 and 4q + 3. The product takes the first two for its inputs 2q and 2q + 1, the others for 2q + 8 and 2q + 9,
// and gives them as its columns 2q and 2q + 1 of two neighbouring tiles of sums; so weights are packed. Between two
// layers no number leaves its lane. The product of TF32 numbers, of eight columns each, takes one of two for its q and
// the other for its q + 4.
namespace starling::interactionstep::cuda {
namespace {

using namespace starling::cuda;

/// The column of sum c (0 or 1) of a lane in tile j.
__device__ __forceinline__ int column_of(int j, int quarter, int c) { return j / 2 * 16 + 4 * quarter + j % 2 * 2 + c; }

/// How rows are stored, and whether they fill the columns of a kernel, as constants: asked once for many numbers.
template <bool kBFloat16, bool kFull>
struct Storage {
  static constexpr bool is_bfloat16 = kBFloat16, is_full = kFull;
};
/// action(the storage of the rows). Kernels that see no bfloat16 do not ask.
template <bool kSeesBFloat16 = true, typename Data, typename Action>
__device__ __forceinline__ void with_storage(const RowsOf<Data>& rows, bool is_full, const Action& action) {
  if (kSeesBFloat16 && rows.is_bfloat16) {
    if constexpr (kSeesBFloat16) {
      if (is_full) {
        action(Storage<true, true>());
      } else {
        action(Storage<true, false>());
      }
    }
  } else if (is_full) {
    action(Storage<false, true>());
  } else {
    action(Storage<false, false>());
  }
}

/// Two numbers of bfloat16, that of the lower column in the lower half.
__device__ __forceinline__ float2 widened(std::uint32_t both) {
  return {__uint_as_float(both << 16), __uint_as_float(both & 0xFFFF0000U)};
}
/// The lower half holds x, rounded to bfloat16.
__device__ __forceinline__ std::uint32_t pack_bfloat16(float x, float y) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(x, y);
  std::uint32_t bits;
  memcpy(&bits, &both, sizeof(bits));
  return bits;
}

/// A row, which must be there: numbers at columns `column` to `column + 3`, 0 beyond the width. No load depends on a
/// condition: conditional ones would wait for each other. So who reads beyond the last row reads that one again.
template <typename Stored>
class Row {
 public:
  using Number = std::conditional_t<Stored::is_bfloat16, std::uint16_t, float>;
  __device__ Row(const Rows& rows, std::int64_t row)
      : at_(static_cast<const Number*>(rows.data) + (row - rows.first) * rows.stride), last_(rows.width - 1) {}

  /// As they are stored, in bfloat16.
  __device__ uint2 packed(int column) const {
    static_assert(Stored::is_bfloat16);
    if constexpr (Stored::is_full) {
      return *reinterpret_cast<const uint2*>(at_ + column);
    } else {
      std::uint32_t n[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) n[i] = number(column + i);
      return {n[0] | n[1] << 16, n[2] | n[3] << 16};
    }
  }
  __device__ float4 quad(int column) const {
    if constexpr (Stored::is_bfloat16) {
      const uint2 both = packed(column);
      const float2 low = widened(both.x), high = widened(both.y);
      return {low.x, low.y, high.x, high.y};
    } else if constexpr (Stored::is_full) {
      return *reinterpret_cast<const float4*>(at_ + column);
    } else {
      return {number(column), number(column + 1), number(column + 2), number(column + 3)};
    }
  }

 private:
  __device__ Number number(int column) const {
    const Number there = at_[min(column, last_)];
    return column <= last_ ? there : Number(0);
  }

  const Number* at_;
  int last_;
};

template <typename Stored>
__device__ __forceinline__ void store_quad(const MutableRows& rows, std::int64_t row, int column,
                                           const float4& numbers) {
  const std::int64_t at = (row - rows.first) * rows.stride + column;
  if constexpr (Stored::is_bfloat16) {
    auto* const to = static_cast<std::uint16_t*>(rows.data) + at;
    const uint2 packed{pack_bfloat16(numbers.x, numbers.y), pack_bfloat16(numbers.z, numbers.w)};
    if constexpr (Stored::is_full) {
      *reinterpret_cast<uint2*>(to) = packed;
    } else {
      if (column < rows.width) to[0] = static_cast<std::uint16_t>(packed.x);
      if (column + 1 < rows.width) to[1] = static_cast<std::uint16_t>(packed.x >> 16);
      if (column + 2 < rows.width) to[2] = static_cast<std::uint16_t>(packed.y);
      if (column + 3 < rows.width) to[3] = static_cast<std::uint16_t>(packed.y >> 16);
    }
  } else {
    auto* const to = static_cast<float*>(rows.data) + at;
    if constexpr (Stored::is_full) {
      *reinterpret_cast<float4*>(to) = numbers;
    } else {
      if (column < rows.width) to[0] = numbers.x;
      if (column + 1 < rows.width) to[1] = numbers.y;
      if (column + 2 < rows.width) to[2] = numbers.z;
      if (column + 3 < rows.width) to[3] = numbers.w;
    }
  }
}

/// A float as the sum of two TF32 numbers, the first with the upper digits cut off: what is left is exact, and of it
/// the product reads the upper digits.
struct Split {
  std::uint32_t high, low;
};
__device__ __forceinline__ Split split(float value) {
  const std::uint32_t high = __float_as_uint(value) & 0xFFFFE000U;
  return {high, __float_as_uint(value - __uint_as_float(high))};
}

/// A number as an operand: split, or as one TF32 number.
template <bool kSplit>
__device__ __forceinline__ Split operand(float value) {
  if constexpr (kSplit) return split(value);
  return {to_tf32(value), 0};
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
    const float x = b[2 * half], y = b[2 * half + 1];
    const std::uint32_t first = to_tf32(x), second = to_tf32(y);
    return {first, second, to_tf32(x - __uint_as_float(first)), to_tf32(y - __uint_as_float(second))};
  }
  template <int kTiles>
  __device__ static void multiply(const float (&a)[8], const Fragment* weights, float (&sums)[kTiles][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::uint32_t high[4], low[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Split parts = split(a[4 * half + (i % 2) * 2 + i / 2]);
        high[i] = parts.high;
        low[i] = parts.low;
      }
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const Fragment b = weights[(half * kTiles + j) * 32];
        multiply_add_tf32(sums[j], low, b.x, b.y);
        multiply_add_tf32(sums[j], high, b.z, b.w);
        multiply_add_tf32(sums[j], high, b.x, b.y);
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
  template <int kTiles>
  __device__ static void multiply(const float (&a)[8], const Fragment* weights, float (&sums)[kTiles][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::uint32_t high[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) high[i] = to_tf32(a[4 * half + (i % 2) * 2 + i / 2]);
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const Fragment b = weights[(half * kTiles + j) * 32];
        multiply_add_tf32(sums[j], high, b.x, b.y);
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
  template <int kTiles>
  __device__ static void multiply(const std::uint32_t (&a)[4], const Fragment* weights, float (&sums)[kTiles][4]) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const Fragment b = weights[j * 32];
      multiply_add(sums[j], a, b.x, b.y, __nv_bfloat16());
    }
  }
  template <int kTiles>
  __device__ static void multiply(const float (&a)[8], const Fragment* weights, float (&sums)[kTiles][4]) {
    const std::uint32_t packed[4] = {pack_bfloat16(a[0], a[1]), pack_bfloat16(a[2], a[3]), pack_bfloat16(a[4], a[5]),
                                     pack_bfloat16(a[6], a[7])};
    multiply(packed, weights, sums);
  }
};

}  // namespace
}  // namespace starling::interactionstep::cuda
