#pragma once

#include <cstdint>
#include <vector>

#include "starling/showers.h"

namespace starling::showers {

/// A cell of the whole calorimeter as one number. Keys ascend by endcap, layer, region of cells and place.
using CellKey = std::uint64_t;
inline constexpr CellKey kNoCell = ~CellKey{0};

/// Finds cells by place and back. The centres of a region's cells stand on a grid around the beam line: hexagons or
/// squares, the same in each layer. Where two regions meet their cells are cut.
class Cells {
 public:
  struct Place {
    double x, y;  ///< mm
  };
  /// The cells of one layer and region, for a draw among them.
  struct Group {
    std::int32_t layer;
    double inner_radius, outer_radius, area;
  };

  explicit Cells(const ShowerDetector& detector);

  /// kNoCell outside the sensors. Layer from 0; x and y in mm; `back`: the endcap at z < 0.
  CellKey find(std::int32_t layer, bool back, double x, double y) const;

  static std::int32_t layer_of(CellKey key) { return static_cast<std::int32_t>(key >> kLayerShift & kLayerMask); }
  static bool is_back(CellKey key) { return key >> kBackShift != 0; }
  Place center(CellKey key) const;

  const std::vector<Group>& groups() const { return groups_; }

 private:
  // [back 1][layer 12][region 3][row 20][column 20], rows and columns offset to be positive.
  static constexpr int kCoordinateBits = 20, kRegionShift = 2 * kCoordinateBits, kLayerShift = kRegionShift + 3,
                       kBackShift = kLayerShift + 12;
  static constexpr CellKey kCoordinateMask = (CellKey{1} << kCoordinateBits) - 1, kLayerMask = (CellKey{1} << 12) - 1;
  static constexpr std::int64_t kOffset = std::int64_t{1} << (kCoordinateBits - 1);

  struct Region {
    double inner_squared, pitch, inverse_pitch;  ///< of neighbouring centres
    bool hexagon;
  };
  struct Layer {
    double inner_squared, outer_squared;
    std::vector<Region> regions;
  };
  std::vector<Layer> layers_;
  std::vector<Group> groups_;
};

/// The largest numbers that keys have room for.
inline constexpr std::size_t kMaxLayers = 4096, kMaxRegions = 8;

}  // namespace starling::showers
