#pragma once

#include <string>
#include <string_view>

#include "starling/event.h"
#include "starling/tracks.h"

namespace starling {

/// A tracks file from memory; `name` stands for the file in messages. As read_tracks.
Tracks parse_tracks(std::string_view text, const std::string& name, const Hits& hits);

}  // namespace starling
