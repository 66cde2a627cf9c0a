#pragma once

#include <cstdint>

// The arithmetic of the derivatives of distances, for host and device. Nothing here may be contracted to fused
// multiply-adds: the sources that include it are compiled accordingly.
#ifdef __CUDACC__
#define STARLING_HOST_DEVICE __host__ __device__
#else
#define STARLING_HOST_DEVICE
#endif

namespace starling::neighbors {

/// ∂/∂a of weight (a − b)².
template <typename T>
STARLING_HOST_DEVICE inline T gradient_term(T weight, T a, T b) {
  return T(2) * weight * (a - b);
}

/// ½ of the derivative of (a − b)² where they move along tangents.
template <typename T>
STARLING_HOST_DEVICE inline T tangent_term(T a, T b, T tangent_a, T tangent_b) {
  return (a - b) * (tangent_a - tangent_b);
}

}  // namespace starling::neighbors

#undef STARLING_HOST_DEVICE
