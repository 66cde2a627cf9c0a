#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "arithmetic/elementary.h"
#include "arithmetic/host_device.h"
#include "starling/shower_finder.h"

// What a network reads of a hit and what its outputs mean, for host and device: the same bytes on both. As in the
// header above, nothing here may be contracted to fused multiply-adds.

namespace starling::shower_finder {

inline constexpr double kLight = 299.792458;  ///< mm / ns
inline constexpr float kMostFloat = std::numeric_limits<float>::max();
inline constexpr float kMostLog = 10;  ///< logarithms among the outputs are cut to −10..10

/// The columns of an event and their units as plain values, for kernels.
struct HitColumns {
  const float *x, *y, *z, *energy;
  const float* time;          ///< may be null
  const std::int32_t* layer;  ///< may be null

  explicit HitColumns(const CalorimeterHitsView& hits)
      : x(hits.x.data()),
        y(hits.y.data()),
        z(hits.z.data()),
        energy(hits.energy.data()),
        time(hits.time.data()),
        layer(hits.layer.data()) {}
};

/// The unit vector from the origin to a hit, and its distance. In double: squares of any floats fit.
struct Place {
  float unit[3];
  double distance;
};

STARLING_HOST_DEVICE Place place_of(const HitColumns& hits, std::int64_t i) {
  const double x = hits.x[i], y = hits.y[i], z = hits.z[i], distance = std::sqrt((x * x + y * y) + z * z);
  const double divisor = distance == 0. ? 1. : distance;
  return {{static_cast<float>(x / divisor), static_cast<float>(y / divisor), static_cast<float>(z / divisor)},
          distance};
}

/// The features of hit i, to out [kShowerFeatures].
STARLING_HOST_DEVICE void features_of(const HitColumns& hits, const ShowerFeatures& units, std::int64_t i, float* out) {
  const Place place = place_of(hits, i);
  const float ratio = 1.f + hits.energy[i] / units.energy;
  out[0] = arithmetic::logarithm(ratio > kMostFloat ? kMostFloat : ratio);
  for (int d = 0; d < 3; ++d) out[1 + d] = place.unit[d];
  out[4] = static_cast<float>(place.distance / static_cast<double>(units.distance));
  out[5] = units.layer > 0.f ? static_cast<float>(hits.layer[i]) / units.layer : 0.f;
  out[6] = units.time > 0.f
               ? static_cast<float>(static_cast<double>(hits.time[i]) - place.distance / kLight) / units.time
               : 0.f;
}

/// exp of an output that is a logarithm. NaN stays NaN.
STARLING_HOST_DEVICE float exponential_of(float value) {
  const float cut = value < -kMostLog ? -kMostLog : (value > kMostLog ? kMostLog : value);
  return arithmetic::exponential(cut);
}

/// Where the columns of an output begin; −1 = there are none.
struct OutputColumns {
  int coordinates, scale, energy, position, classes, num_coordinates, num_classes, count;
  float residual;

  explicit OutputColumns(const ShowerOutputs& layout)
      : coordinates(1),
        num_coordinates(layout.coordinates),
        num_classes(static_cast<int>(layout.classes.size())),
        count(1 + layout.coordinates),
        residual(layout.residual) {
    const auto take = [&](bool wanted, int columns) {
      const int first = wanted ? count : -1;
      if (wanted) count += columns;
      return first;
    };
    scale = take(layout.scale, 1);
    energy = take(layout.energy, 1);
    position = take(layout.position > 0.f, 3);
    classes = take(num_classes > 0, num_classes);
  }
};

/// β, cluster coordinates and φ of hit i from its row of outputs.
STARLING_HOST_DEVICE void points_of(const HitColumns& hits, const OutputColumns& columns, const float* outputs,
                                    const ShowerPoints& out, std::int64_t i) {
  const float* const row = outputs + i * columns.count;
  out.beta[i] = 1.f / (1.f + arithmetic::exponential(-row[0]));
  const Place place = place_of(hits, i);
  for (int d = 0; d < columns.num_coordinates; ++d) {
    const float value = row[columns.coordinates + d];
    out.x[i * columns.num_coordinates + d] = d < 3 ? value + columns.residual * place.unit[d] : value;
  }
  if (columns.scale >= 0) out.scale[i] = exponential_of(row[columns.scale]);
}

}  // namespace starling::shower_finder
