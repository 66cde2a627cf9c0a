#pragma once

#include <cstdint>

// The lanes of a warp: votes, sums and sorts, and numbers as bits that order as they do.
namespace starling::cuda {

inline constexpr unsigned kWarp = 0xffffffffu;  ///< all lanes

template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Type = std::uint32_t;
};
template <>
struct Bits<double> {
  using Type = std::uint64_t;
};

/// The bits of a squared distance order as its value does: it is never negative.
__device__ inline std::uint32_t to_bits(float value) { return __float_as_uint(value); }
__device__ inline std::uint64_t to_bits(double value) { return __double_as_longlong(value); }
__device__ inline float from_bits(std::uint32_t bits) { return __uint_as_float(bits); }
__device__ inline double from_bits(std::uint64_t bits) { return __longlong_as_double(bits); }

template <typename T>
__device__ inline T infinity() {
  return static_cast<T>(__int_as_float(0x7f800000));
}
template <typename T>
__device__ inline T not_a_number() {
  return static_cast<T>(__int_as_float(0x7fffffff));
}

/// Integers that order as all floats do.
__device__ inline std::uint32_t to_ordered(float value) {
  const std::uint32_t bits = __float_as_uint(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline std::uint64_t to_ordered(double value) {
  const std::uint64_t bits = __double_as_longlong(value), sign = std::uint64_t{1} << 63;
  return bits & sign ? ~bits : bits | sign;
}
__device__ inline float from_ordered(std::uint32_t bits) {
  return __uint_as_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

/// The sum over the lanes of a warp, in each of them.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kWarp, value, step);
  return value;
}

__device__ inline unsigned lanes_before(int lane) { return (1u << lane) - 1; }

/// Sorts each `length` values of a warp, one per lane, in ascending order (bitonic). Each merge begins with mirror
/// images, so that all ascend. Lengths are powers of two up to 32.
template <typename B>
__device__ __forceinline__ B sort_lanes(B value, int length = 32) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int size = 2; size <= 32; size *= 2) {
    if (size > length) break;
#pragma unroll
    for (int step = size / 2; step > 0; step /= 2) {
      const B other = __shfl_xor_sync(kWarp, value, step == size / 2 ? size - 1 : step);
      value = (lane & step) == 0 ? min(value, other) : max(value, other);
    }
  }
  return value;
}

/// A value that is the same in all lanes, in a form that the compiler knows to be the same. Where all branches of a
/// warp depend on such values, votes and exchanges need no code for diverged lanes: a third of all instructions.
__device__ inline int uniform(int value) { return __reduce_max_sync(kWarp, value); }

__device__ inline std::uint32_t warp_min(std::uint32_t value) { return __reduce_min_sync(kWarp, value); }
__device__ inline std::uint32_t warp_max(std::uint32_t value) { return __reduce_max_sync(kWarp, value); }
__device__ inline std::uint64_t warp_min(std::uint64_t value) {
  for (int step = 16; step > 0; step /= 2) {
    const std::uint64_t other = __shfl_xor_sync(kWarp, value, step);
    value = other < value ? other : value;
  }
  return value;
}
__device__ inline std::uint64_t warp_max(std::uint64_t value) { return ~warp_min(~value); }

/// Inclusive sum over the lanes.
__device__ inline std::uint32_t sum_upto(std::uint32_t value) {
  for (int step = 1; step < 32; step *= 2) {
    const std::uint32_t before = __shfl_up_sync(kWarp, value, step);
    if (static_cast<int>(threadIdx.x % 32) >= step) value += before;
  }
  return value;
}

}  // namespace starling::cuda
