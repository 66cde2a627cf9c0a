#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

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
__device__ __forceinline__ Pair widened(std::uint32_t both) {
  return {__uint_as_float(both << 16), __uint_as_float(both & 0xFFFF0000U)};
}
/// The lower half holds x, rounded to bfloat16.
__device__ __forceinline__ std::uint32_t pack_bfloat16(float x, float y) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(x, y);
  std::uint32_t bits;
  memcpy(&bits, &both, sizeof(bits));
  return bits;
}

/// A row, which must be there: numbers at columns `column` and `column + 1`, 0 beyond the width. No load depends on a
/// condition: conditional ones would wait for each other. So who reads beyond the last row reads that one again.
template <typename Stored>
class Row {
 public:
  using Number = std::conditional_t<Stored::is_bfloat16, std::uint16_t, float>;
  __device__ Row(const Rows& rows, std::int64_t row)
      : at_(static_cast<const Number*>(rows.data) + (row - rows.first) * rows.stride), last_(rows.width - 1) {}

  /// As they are stored, in bfloat16.
  __device__ std::uint32_t both(int column) const {
    static_assert(Stored::is_bfloat16);
    if constexpr (Stored::is_full) {
      return *reinterpret_cast<const std::uint32_t*>(at_ + column);
    } else {
      const std::uint32_t low = at_[min(column, last_)], high = at_[min(column + 1, last_)];
      return (column <= last_ ? low : 0U) | (column < last_ ? high << 16 : 0U);
    }
  }
  __device__ Pair pair(int column) const {
    if constexpr (Stored::is_bfloat16) {
      return widened(both(column));
    } else if constexpr (Stored::is_full) {
      const float2 numbers = *reinterpret_cast<const float2*>(at_ + column);
      return {numbers.x, numbers.y};
    } else {
      const float x = at_[min(column, last_)], y = at_[min(column + 1, last_)];
      return {column <= last_ ? x : 0.f, column < last_ ? y : 0.f};
    }
  }

 private:
  const Number* at_;
  int last_;
};

template <typename Stored>
__device__ __forceinline__ void store_pair(const MutableRows& rows, std::int64_t row, int column, float x, float y) {
  const std::int64_t at = (row - rows.first) * rows.stride + column;
  const bool has_x = Stored::is_full || column < rows.width, has_y = Stored::is_full || column + 1 < rows.width;
  if constexpr (Stored::is_bfloat16) {
    auto* const to = static_cast<std::uint16_t*>(rows.data) + at;
    const std::uint32_t both = pack_bfloat16(x, y);
    if constexpr (Stored::is_full) {
      *reinterpret_cast<std::uint32_t*>(to) = both;
    } else {
      if (has_x) to[0] = static_cast<std::uint16_t>(both);
      if (has_y) to[1] = static_cast<std::uint16_t>(both >> 16);
    }
  } else {
    auto* const to = static_cast<float*>(rows.data) + at;
    if constexpr (Stored::is_full) {
      *reinterpret_cast<float2*>(to) = {x, y};
    } else {
      if (has_x) to[0] = x;
      if (has_y) to[1] = y;
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
