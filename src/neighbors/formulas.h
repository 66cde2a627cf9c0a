#pragma once

#include <cmath>
#include <cstdint>

#include "arithmetic/host_device.h"
#include "starling/neighbors.h"

// What host and device must compute alike, written once. The sums of the derivatives may not be contracted to fused
// multiply-adds: the sources that include them are compiled accordingly.

namespace starling::neighbors {

/// May this point be a neighbour, and has it neighbours? An unknown direction: neither.
STARLING_HOST_DEVICE bool is_neighbor(const Direction* direction, std::int32_t row) {
  return direction == nullptr || direction[row] == Direction::both || direction[row] == Direction::only_neighbor;
}
STARLING_HOST_DEVICE bool has_neighbors(const Direction* direction, std::int32_t row) {
  return direction == nullptr || direction[row] == Direction::both || direction[row] == Direction::only_has_neighbors;
}

/// The largest d² of a neighbour: max_radius² in double, rounded to T. So a float d² = n is within max_radius = √n,
/// although that root is rounded. A d² that overflows T is +infinity, which no finite max_radius may reach: a square
/// above the largest T becomes that.
template <typename T>
T max_distance2(const NeighborSearch<T>& search) {
  const T square = static_cast<T>(search.max_radius * search.max_radius);
  return std::isinf(square) && !std::isinf(search.max_radius) ? std::nextafter(square, T(0)) : square;
}

/// ∂/∂a of weight (a − b)².
template <typename T>
STARLING_HOST_DEVICE T gradient_term(T weight, T a, T b) {
  return T(2) * weight * (a - b);
}

/// ½ of the derivative of (a − b)² where they move along tangents.
template <typename T>
STARLING_HOST_DEVICE T tangent_term(T a, T b, T tangent_a, T tangent_b) {
  return (a - b) * (tangent_a - tangent_b);
}

}  // namespace starling::neighbors
