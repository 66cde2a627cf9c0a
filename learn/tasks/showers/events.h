#pragma once

#include <cstdint>

#include "learn/tasks/showers/settings.h"
#include "starling/calorimeter.h"
#include "starling/showers.h"

namespace starling::learn::showers {

/// The simulated events of a training: each a function of the settings and its number alone.
class Events {
 public:
  /// Reads the detector. Throws ErrorKind::usage.
  explicit Events(const ShowerTrainingSettings& settings);

  /// Event `number` of the endless sequence to train on: of a sample by chance, in proportion to the shares.
  CalorimeterEvent training(std::uint64_t number) const;
  /// Event `number` of a sample, never trained on.
  CalorimeterEvent validation(std::size_t sample, std::uint64_t number) const;

 private:
  std::vector<SampleSettings> samples_;
  std::uint64_t seed_;
  ShowerDetector detector_;
};

}  // namespace starling::learn::showers
