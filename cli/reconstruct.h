#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "event_options.h"
#include "starling/device.h"
#include "starling/shower_finder.h"
#include "starling/track_finder.h"

namespace starling::cli {

/// What `reconstruct` is told, whatever it looks for.
struct Reconstruction {
  EventOptions events;
  std::vector<std::filesystem::path> prefixes;  ///< of the events
  std::filesystem::path out;
  bool picture = false, json = false;
};

/// Writes and prints the tracks of the events. `scores`: the edges' scores too.
void reconstruct_tracks(const Reconstruction& options, const TrackFinder& finder, Device device, bool scores);

/// Writes and prints the showers of the events.
void reconstruct_showers(const Reconstruction& options, const ShowerFinder& finder, Device device);

}  // namespace starling::cli
