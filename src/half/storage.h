#pragma once

#include <cstdint>
#include <cstring>

#include "arithmetic/host_device.h"
#include "starling/half.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

// Values as they are stored, and as they are computed with. The same bytes on host and device.
namespace starling::storage {

STARLING_HOST_DEVICE std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
STARLING_HOST_DEVICE float float_of(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

STARLING_HOST_DEVICE float computed(float value) { return value; }
STARLING_HOST_DEVICE double computed(double value) { return value; }
STARLING_HOST_DEVICE float computed(BFloat16 value) { return float_of(std::uint32_t{value.bits} << 16); }
STARLING_HOST_DEVICE float computed(Float16 value) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(value.bits));
#else
  constexpr std::uint32_t kInfinity = 0x7C00U << 13, kRebias = (127U - 15U) << 23;
  const std::uint32_t sign = std::uint32_t{value.bits & 0x8000U} << 16,
                      size = std::uint32_t{value.bits & 0x7FFFU} << 13;
  const float normal = float_of(size + kRebias), special = float_of(size + 2 * kRebias);
  // Below the normal numbers the bits count units of 2^−24, which the difference of two floats makes of them.
  const float small = float_of(size + kRebias + (1U << 23)) - float_of(kRebias + (1U << 23));
  const float absolute = size >= kInfinity ? special : (size < (1U << 23) ? small : normal);
  return float_of(bits_of(absolute) | sign);
#endif
}

/// Conversions to what is stored.
STARLING_HOST_DEVICE void store(float& at, float value) { at = value; }
STARLING_HOST_DEVICE void store(double& at, double value) { at = value; }
STARLING_HOST_DEVICE void store(BFloat16& at, float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  at.bits = static_cast<std::uint16_t>(value != value ? 0x7FC0U : rounded);
}
STARLING_HOST_DEVICE void store(Float16& at, float value) {
#ifdef __CUDA_ARCH__
  at.bits = value != value ? 0x7E00 : __half_as_ushort(__float2half_rn(value));
#else
  constexpr std::uint32_t kTooLarge = (127U + 16U) << 23, kNormal = (127U - 14U) << 23;
  constexpr std::uint32_t kHalf = 126U << 23;  // ½: units of 2^−24 are its last bits
  const std::uint32_t all = bits_of(value), sign = all & 0x80000000U, size = all ^ sign;
  const std::uint32_t small = bits_of(float_of(size < kNormal ? size : 0U) + float_of(kHalf)) - kHalf;
  const std::uint32_t normal = (size - ((127U - 15U) << 23) + 0xFFFU + (size >> 13 & 1U)) >> 13;
  const std::uint32_t absolute = size >= kTooLarge ? 0x7C00U : (size < kNormal ? small : normal);
  at.bits = static_cast<std::uint16_t>(value != value ? 0x7E00U : absolute | sign >> 16);
#endif
}

}  // namespace starling::storage
