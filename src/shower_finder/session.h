#pragma once

#include <memory>
#include <span>

#include "starling/shower_finder.h"

namespace starling::shower_finder {

/// What a session does on one device.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual FoundShowers run(const CalorimeterHitsView& hits) = 0;
  virtual std::size_t device_bytes() const = 0;
};

/// Throws ErrorKind::input naming the hit for an output [N, columns] that is not finite.
void check_finite(std::span<const float> outputs, int columns);

/// On the current CUDA device; without CUDA in the build it throws ErrorKind::device.
std::unique_ptr<Runner> cuda_runner(const ShowerFinder& finder);

}  // namespace starling::shower_finder
