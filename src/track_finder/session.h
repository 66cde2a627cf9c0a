#pragma once

#include <memory>

#include "starling/track_finder.h"

namespace starling::track_finder {

/// What a session does on one device.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual Tracks run(const HitsView& hits) = 0;
  virtual TrackSession::Found found() = 0;
  virtual std::size_t device_bytes() const = 0;
};

/// On the current CUDA device; without CUDA in the build it throws ErrorKind::device.
std::unique_ptr<Runner> cuda_runner(const TrackFinder& finder, NumberType type);

}  // namespace starling::track_finder
