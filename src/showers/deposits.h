#pragma once

#include <cstdint>
#include <vector>

#include "random/random.h"
#include "showers/cells.h"
#include "starling/showers.h"

namespace starling::showers {

using random::Random;

/// A straight line through one endcap; its parameter is |z|, mm.
struct Line {
  double x = 0, y = 0, z = 0;  ///< a point of it: z is |z|
  double slope_x = 0, slope_y = 0;
  double time = 0;  ///< ns, at that point
  bool back = false;

  /// Path length per |z|.
  double stretch() const { return std::sqrt(1 + slope_x * slope_x + slope_y * slope_y); }
  Line at(double other) const {
    constexpr double kLight = 299.792458;  // mm/ns
    const double way = other - z;
    return {x + way * slope_x, y + way * slope_y, other, slope_x, slope_y, time + way * stretch() / kLight, back};
  }
};

/// A place on a line: in which layer, and how much of the layer lies in front of it.
struct Depth {
  std::int32_t layer = 0;
  double part = 0;  ///< in [0, 1)
};

/// What one particle leaves in each cell. The entries keep the order in which the cells were first hit.
class Deposits {
 public:
  struct Entry {
    CellKey cell;
    double mips;       ///< deposited
    double time_mips;  ///< Σ deposit · time, ns
  };

  explicit Deposits(const Cells& cells) : cells_(cells), slots_(1 << 12), stamps_(1 << 12) {}

  void clear();
  void add(std::int32_t layer, bool back, double x, double y, double mips, double time);
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  void grow();

  const Cells& cells_;
  std::vector<Entry> entries_;
  // Open addressing: slot → entry, valid where its stamp is that of this particle.
  std::vector<std::int32_t> slots_;
  std::vector<std::uint32_t> stamps_;
  std::uint32_t stamp_ = 1;
};

/// The energy that one minimum-ionising particle leaves, over its mean: Moyal's distribution, cut above.
inline double ionisation(Random& random) {
  const double z = random.normal();
  return std::min(6.0, 0.87 - 0.1 * std::log(z * z));
}

}  // namespace starling::showers
