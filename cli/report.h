#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "progress.h"
#include "starling/graph.h"
#include "starling/metrics.h"
#include "starling/tracks.h"

namespace starling::cli {

/// " 99.12 [ 98.98,  99.25]": per cent with the 68 % interval, always as wide; a dash where nothing was counted.
std::string percent(const Ratio& ratio);

/// Adds those of `more` that `all` does not hold yet.
void add_missing(std::vector<std::string>& all, const std::vector<std::string>& more);

/// {"value", "low", "high", "passed", "total"}; value null where nothing was counted.
nlohmann::ordered_json to_json(const Ratio& ratio);

/// The number of hits that are an end of an edge.
std::int32_t hits_on_edges(const EdgeListView& edges);

/// Says so where nearly all hits of an event are on no edge: in other units than mm, or of another detector, they make
/// a graph that is well formed and useless.
void warn_of_unused_hits(Progress& progress, const std::string& event, std::int32_t hits, std::int32_t on_edges);

}  // namespace starling::cli
