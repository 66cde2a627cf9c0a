#pragma once

#include <filesystem>

#include "starling/calorimeter.h"
#include "starling/event.h"
#include "starling/shower_metrics.h"
#include "starling/tracks.h"

namespace starling::cli {

/// Draws an event across and along the beam line: hits grey, each track in a colour of its own. False where gnuplot is
/// not installed.
bool draw_event(const std::filesystem::path& file, const Event& event, const Tracks& tracks);

/// Draws an event of a calorimeter across and along the beam line: hits as large as their energy says, each cluster in
/// a colour of its own, all other hits grey. Where the event has truth, it stands beside: a shower that is found has
/// the colour of its cluster. Throws ErrorKind::usage for clusters of other hits. False where gnuplot is not installed.
bool draw_showers(const std::filesystem::path& file, const CalorimeterEvent& event, const Clusters& clusters);

}  // namespace starling::cli
