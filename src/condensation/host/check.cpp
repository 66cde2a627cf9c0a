#include "condensation/host/check.h"

#include <cmath>
#include <string>

#include "starling/error.h"

namespace starling::condensation::host {
namespace {

[[noreturn]] void fail(ErrorKind kind, const std::string& message) { throw Error(kind, "condensation: " + message); }

}  // namespace

void check_row_splits(const std::int32_t* row_splits, std::int32_t num_events, std::int32_t num_hits) {
  if (row_splits == nullptr) return;
  if (row_splits[0] != 0) fail(ErrorKind::usage, "row_splits[0] is " + std::to_string(row_splits[0]) + ": expected 0");
  for (std::int32_t e = 0; e < num_events; ++e) {
    if (row_splits[e + 1] < row_splits[e])
      fail(ErrorKind::usage,
           "row_splits[" + std::to_string(e + 1) + "] is less than the entry before: expected ascending rows");
  }
  if (row_splits[num_events] != num_hits)
    fail(ErrorKind::usage, "the last row split is " + std::to_string(row_splits[num_events]) +
                               ": expected the number of hits, " + std::to_string(num_hits));
}

template <typename T>
void check_finite(const char* name, const T* values, std::int32_t num_hits, int each) {
  if (values == nullptr) return;
  for (std::int64_t i = 0; i < std::int64_t{num_hits} * each; ++i) {
    if (!std::isfinite(values[i]))
      fail(ErrorKind::input, std::string(name) + " of row " + std::to_string(i / each) + " is " +
                                 std::to_string(values[i]) + ": expected a finite number");
  }
}

template <typename T>
void check_beta(const T* beta, std::int32_t num_hits) {
  for (std::int32_t h = 0; h < num_hits; ++h) {
    if (!(beta[h] >= T(0) && beta[h] <= T(1)))
      fail(ErrorKind::input,
           "beta of row " + std::to_string(h) + " is " + std::to_string(beta[h]) + ": expected a number in 0 to 1");
  }
}

template <typename T>
void check_scale(const T* scale, std::int32_t num_hits) {
  check_finite("scale", scale, num_hits, 1);
  for (std::int32_t h = 0; scale != nullptr && h < num_hits; ++h) {
    if (!(scale[h] > T(0)))
      fail(ErrorKind::input,
           "scale of row " + std::to_string(h) + " is " + std::to_string(scale[h]) + ": expected a number above 0");
  }
}

template void check_finite(const char*, const float*, std::int32_t, int);
template void check_finite(const char*, const double*, std::int32_t, int);
template void check_beta(const float*, std::int32_t);
template void check_beta(const double*, std::int32_t);
template void check_scale(const float*, std::int32_t);
template void check_scale(const double*, std::int32_t);

}  // namespace starling::condensation::host
