#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "event/hit_index.h"
#include "starling/event.h"

/// One TrackML file each, from memory; `name` stands for the file in messages. Throw ErrorKind::input.
namespace starling {

/// `index` becomes that of the hits.
Hits parse_hits(std::string_view text, const std::string& name, HitIndex& index);
Truth parse_truth(std::string_view text, const std::string& name, const Hits& hits, const HitIndex& index);
Particles parse_particles(std::string_view text, const std::string& name);
Cells parse_cells(std::string_view text, const std::string& name, const HitIndex& index);

/// Truth from the columns (hit_id, track): track t is particle t + 1, and no track is kUnknown.
Truth parse_known_tracks(std::string_view text, const std::string& name, const Hits& hits, const HitIndex& index);

/// One track a hit, from the columns (hit_id, track_id); −1 where the file has no such hit.
std::vector<std::int32_t> parse_tracks(std::string_view text, const std::string& name, const Hits& hits,
                                       const HitIndex& index);

}  // namespace starling
