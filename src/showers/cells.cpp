#include "showers/cells.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace starling::showers {

namespace {

constexpr double kRowHeight = 0.5 * std::numbers::sqrt3;  ///< of hexagons whose centres are 1 apart

}  // namespace

Cells::Cells(const ShowerDetector& detector) {
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    const CalorimeterLayer& from = detector.layers[i];
    Layer& layer = layers_.emplace_back();
    layer.inner_squared = from.inner_radius * from.inner_radius;
    layer.outer_squared = from.outer_radius * from.outer_radius;
    for (std::size_t k = 0; k < from.cells.size(); ++k) {
      const CellRegion& cells = from.cells[k];
      const bool hexagon = cells.shape == CellRegion::Shape::hexagon;
      const double pitch = std::sqrt(hexagon ? cells.area / kRowHeight : cells.area);
      layer.regions.push_back({cells.inner_radius * cells.inner_radius, pitch, 1 / pitch, hexagon});
      const double inner = std::max(cells.inner_radius, from.inner_radius);
      const double outer =
          k + 1 < from.cells.size() ? std::min(from.cells[k + 1].inner_radius, from.outer_radius) : from.outer_radius;
      if (outer > inner) groups_.push_back({static_cast<std::int32_t>(i), inner, outer, cells.area});
    }
  }
}

CellKey Cells::find(std::int32_t layer_index, bool back, double x, double y) const {
  const Layer& layer = layers_[static_cast<std::size_t>(layer_index)];
  const double squared = x * x + y * y;
  if (!(squared >= layer.inner_squared && squared < layer.outer_squared)) return kNoCell;
  std::size_t k = layer.regions.size() - 1;
  while (k > 0 && squared < layer.regions[k].inner_squared) --k;
  const Region& region = layer.regions[k];
  const double u = x * region.inverse_pitch, v = y * region.inverse_pitch;
  std::int64_t row, column;
  if (region.hexagon) {
    // Of the two nearest rows the one whose nearest centre is nearer; odd rows are shifted by half a cell.
    const auto lower = static_cast<std::int64_t>(std::floor(v / kRowHeight));
    double best = std::numeric_limits<double>::infinity();
    row = column = 0;
    for (const std::int64_t line : {lower, lower + 1}) {
      const double shift = line % 2 != 0 ? 0.5 : 0;
      const double place = std::floor(u - shift + 0.5);
      const double du = u - shift - place, dv = v - static_cast<double>(line) * kRowHeight;
      const double distance = du * du + dv * dv;
      if (distance >= best) continue;
      best = distance;
      row = line;
      column = static_cast<std::int64_t>(place);
    }
  } else {
    row = static_cast<std::int64_t>(std::floor(v));
    column = static_cast<std::int64_t>(std::floor(u));
  }
  return static_cast<CellKey>(back) << kBackShift | static_cast<CellKey>(layer_index) << kLayerShift |
         static_cast<CellKey>(k) << kRegionShift | static_cast<CellKey>(row + kOffset) << kCoordinateBits |
         static_cast<CellKey>(column + kOffset);
}

Cells::Place Cells::center(CellKey key) const {
  const Layer& layer = layers_[static_cast<std::size_t>(layer_of(key))];
  const Region& region = layer.regions[key >> kRegionShift & (kMaxRegions - 1)];
  const auto row = static_cast<std::int64_t>(key >> kCoordinateBits & kCoordinateMask) - kOffset;
  const auto column = static_cast<std::int64_t>(key & kCoordinateMask) - kOffset;
  const double u = static_cast<double>(column), v = static_cast<double>(row);
  if (!region.hexagon) return {(u + 0.5) * region.pitch, (v + 0.5) * region.pitch};
  return {(u + (row % 2 != 0 ? 0.5 : 0)) * region.pitch, v * kRowHeight * region.pitch};
}

}  // namespace starling::showers
