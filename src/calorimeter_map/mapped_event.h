#pragma once

#include <optional>
#include <string>

#include "calorimeter_map/records.h"
#include "starling/calorimeter_map.h"

namespace starling {

/// The tables that a map names, from memory. truth and showers are empty where the map has them in the table of hits.
struct MappedTables {
  Records hits;
  std::optional<Records> truth, showers;
};

/// Throws ErrorKind::input. The event has no name.
CalorimeterEvent parse_mapped_event(const MappedTables& tables, const CalorimeterMap& map, bool with_truth);

}  // namespace starling
