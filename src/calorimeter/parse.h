#pragma once

#include <string>
#include <string_view>

#include "starling/calorimeter.h"
#include "table/id_index.h"

/// One file of a calorimeter event each, from memory; `name` stands for the file in messages. Throw ErrorKind::input.
namespace starling {

/// `index` becomes that of the hits.
CalorimeterHits parse_calorimeter_hits(std::string_view text, const std::string& name, IdIndex& index);

Showers parse_showers(std::string_view text, const std::string& name);

/// Where there are no showers, `showers` becomes those that the truth names, by ascending id.
ShowerTruth parse_shower_truth(std::string_view text, const std::string& name, const IdIndex& hits,
                               std::int32_t num_hits, std::optional<Showers>& showers);

}  // namespace starling
