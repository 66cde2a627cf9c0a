#pragma once

#include <cstdint>

// Checks of values, which only the host makes before it computes.
namespace starling::condensation::host {

/// Throws ErrorKind::usage naming the entry unless row_splits, where not null, begin at 0, never fall and end at
/// num_hits.
void check_row_splits(const std::int32_t* row_splits, std::int32_t num_events, std::int32_t num_hits);

/// Throws ErrorKind::input naming array and row unless all values [num_hits, each] are finite. Null has none.
template <typename T>
void check_finite(const char* name, const T* values, std::int32_t num_hits, int each);

/// The same for β [num_hits], which must be in 0 to 1.
template <typename T>
void check_beta(const T* beta, std::int32_t num_hits);

/// The same for scales [num_hits], which must be above 0 too.
template <typename T>
void check_scale(const T* scale, std::int32_t num_hits);

}  // namespace starling::condensation::host
