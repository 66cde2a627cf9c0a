#pragma once

#include <cstdint>
#include <vector>

#include "starling/calorimeter.h"
#include "starling/shower_finder.h"

namespace starling::learn::showers {

/// What a network learns from the hits of one event: arrays in the event's order.
struct Sample {
  std::int32_t num_hits = 0;
  std::vector<float> features;       ///< [num_hits, kShowerFeatures]
  std::vector<std::int32_t> object;  ///< [num_hits] the hit's object, numbered from 0 in the event; −1 = noise
  std::vector<float> targets;        ///< [num_hits, kTargets] of the hit's object; 0 for noise
};

/// Columns of Sample::targets.
enum Target : int {
  kLogCorrection,  ///< ln of generated energy over the sum of the object's hits, and whether that is to be learned:
  kKnownEnergy,    ///<   1, or 0 where the event does not tell or the particle leaves only a part by its nature
  kClass,          ///< the ShowerKind, or −1 where it is not known
  kOthers,         ///< hits of the event that are not of this object
  kCorrectionX,    ///< mm, from the mean of the object's hits, weighted by energy, to the point on the particle's
  kCorrectionY,    ///<   axis as far from the origin; 0 where the axis is not known
  kCorrectionZ,
  kTargets
};

/// The first of the three features that are the unit vector from the origin to the hit (shower_features).
inline constexpr int kUnitVectorFeature = 1;

/// Labels the hits of an event with truth: a hit belongs to the shower that gave it most energy (dominant_shower), a
/// shower with such hits is an object, and all other hits are noise. Throws ErrorKind::input, naming the event, for one
/// without truth and showers.
Sample make_sample(const CalorimeterEvent& event, const ShowerFeatures& features);

}  // namespace starling::learn::showers
