#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "arithmetic/host_device.h"
#include "starling/hit_graph.h"

namespace starling {

/// The index of a layer among `count` in ascending order, −1 = unknown.
STARLING_HOST_DEVICE std::int32_t find_layer(const std::int32_t* volume_id, const std::int32_t* layer_id,
                                             std::int32_t count, std::int32_t volume, std::int32_t layer) {
  std::int32_t low = 0;
  for (std::int32_t high = count; low < high;) {
    const std::int32_t middle = low + (high - low) / 2;
    if (volume_id[middle] < volume || (volume_id[middle] == volume && layer_id[middle] < layer)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && volume_id[low] == volume && layer_id[low] == layer ? low : -1;
}

/// What Windows hold. A layer is a (volume_id, layer_id) that simulated hits have; nothing says what shape it has.
/// A pair or triple has one window for each of its cells in |cot θ|; cell c covers the values up to its bound, and the
/// last bound is the largest float. All windows are symmetric about 0.
struct Windows::Content {
  double min_pt = 0;  ///< GeV

  std::vector<std::int32_t> volume_id, layer_id;  ///< [L], ascending by (volume_id, layer_id)

  std::vector<std::int32_t> pair_src, pair_dst;  ///< [P] layers, ascending by (src, dst)
  std::vector<std::int32_t> pair_cells;          ///< [P + 1] row splits
  std::vector<float> pair_cot;                   ///< [cells] upper bound of |cot θ|
  std::vector<float> pair_k, pair_z0;            ///< [cells] largest |k| (1/mm) and |z0| (mm)

  std::vector<std::int32_t> triple_first, triple_second;  ///< [T] pairs a–b and b–c, ascending
  std::vector<std::int32_t> triple_cells;                 ///< [T + 1] row splits
  std::vector<float> triple_cot;                          ///< [cells] upper bound of |cot θ| of a–b
  std::vector<float> triple_k, triple_d0, triple_bend;    ///< [cells] largest |k3| (1/mm), |d0| (mm), |sin dθ|

  std::vector<float> overlap_distance, overlap_rphi;  ///< [L] mm, 0 = no overlap pairs on this layer

  // Derived by index():
  std::vector<std::int32_t> out_pairs;    ///< [L + 1] row splits of the pairs by their source layer
  std::vector<std::int32_t> triple_rows;  ///< [P] where the row of a first pair starts in triple_of
  std::vector<std::int32_t> triple_of;  ///< triple of (first pair, second pair − first pair out of that layer), or −1

  std::int32_t layers() const { return static_cast<std::int32_t>(volume_id.size()); }
  std::int32_t pairs() const { return static_cast<std::int32_t>(pair_src.size()); }
  std::int32_t triples() const { return static_cast<std::int32_t>(triple_first.size()); }

  /// The layer's index, −1 = unknown.
  std::int32_t find_layer(std::int32_t volume, std::int32_t layer) const {
    return starling::find_layer(volume_id.data(), layer_id.data(), layers(), volume, layer);
  }
  bool has_overlaps() const {
    return std::any_of(overlap_distance.begin(), overlap_distance.end(), [](float width) { return width > 0.f; });
  }
  /// Fills the derived arrays from valid ones.
  void index();
};

/// The cell of a pair or triple that |cot| falls into, of those from `first` to `last` − 1.
template <class Bounds>
STARLING_HOST_DEVICE std::int32_t find_cell(const Bounds& bounds, std::int32_t first, std::int32_t last,
                                            float abs_cot) {
  while (first + 1 < last && abs_cot > bounds[first]) ++first;
  return first;
}

}  // namespace starling
