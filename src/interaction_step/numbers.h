#pragma once

#include <cstdint>
#include <cstring>

#include "arithmetic/host_device.h"
#include "starling/half.h"

// Values as they are stored, and as they are computed with. The same bytes on host and device.
namespace starling::interactionstep {

STARLING_HOST_DEVICE float value_of(float stored) { return stored; }
STARLING_HOST_DEVICE double value_of(double stored) { return stored; }
STARLING_HOST_DEVICE float value_of(BFloat16 stored) {
  const std::uint32_t bits = std::uint32_t{stored.bits} << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

STARLING_HOST_DEVICE void store(float& at, float value) { at = value; }
STARLING_HOST_DEVICE void store(double& at, double value) { at = value; }
STARLING_HOST_DEVICE void store(BFloat16& at, float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  at.bits = static_cast<std::uint16_t>(value != value ? 0x7FC0U : rounded);
}

}  // namespace starling::interactionstep
