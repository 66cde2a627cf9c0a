#pragma once

#include <filesystem>

#include "starling/event.h"
#include "starling/tracks.h"

namespace starling::cli {

/// Draws an event across and along the beam line: hits grey, each track in a colour of its own. False where gnuplot is
/// not installed.
bool draw_event(const std::filesystem::path& file, const Event& event, const Tracks& tracks);

}  // namespace starling::cli
