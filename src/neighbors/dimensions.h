#pragma once

#include <utility>

#include "starling/neighbors.h"

// Kernels are compiled for some numbers of dimensions; rows with fewer are padded with zeros, which add exactly nothing
// to a squared distance.
namespace starling::neighbors {

template <int... kSizes>
using Dimensions = std::integer_sequence<int, kSizes...>;

/// The first of the ascending sizes that `dimensions` fit in.
template <int... kSizes>
constexpr int padded_dimensions(Dimensions<kSizes...>, int dimensions) {
  int padded = 0;
  (void)((dimensions <= kSizes && (padded = kSizes, true)) || ...);
  return padded;
}

/// Calls action.operator()<size>() with that size.
template <int... kSizes, typename Action>
void with_padded_dimensions(Dimensions<kSizes...>, int dimensions, const Action& action) {
  (void)((dimensions <= kSizes && (action.template operator()<kSizes>(), true)) || ...);
}

}  // namespace starling::neighbors
