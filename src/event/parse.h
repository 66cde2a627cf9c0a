#pragma once

#include <string>
#include <string_view>

#include "starling/event.h"
#include "table/id_index.h"

/// One TrackML file each, from memory; `name` stands for the file in messages. Throw ErrorKind::input.
namespace starling {

/// `index` becomes that of the hits.
Hits parse_hits(std::string_view text, const std::string& name, IdIndex& index);
Truth parse_truth(std::string_view text, const std::string& name, const Hits& hits, const IdIndex& index);
Particles parse_particles(std::string_view text, const std::string& name);
Cells parse_cells(std::string_view text, const std::string& name, const IdIndex& index);

/// Truth from the columns (hit_id, track): track t is particle t + 1, and no track is kUnknown.
Truth parse_known_tracks(std::string_view text, const std::string& name, const Hits& hits, const IdIndex& index);

}  // namespace starling
