#pragma once

#include "learn/train/monitor.h"
#include "starling/device.h"

namespace starling::learn {

/// How a run is asked for, beside its configuration.
struct RunOptions {
  Device device = Device::cpu;
  bool resume = false;         ///< go on from the run's checkpoint, where there is one
  Monitor* monitor = nullptr;  ///< must be given
  bool quiet = false;          ///< without the metrics on stdout
};

}  // namespace starling::learn
