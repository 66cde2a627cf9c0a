// The TOML file of a map.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "starling/calorimeter_map.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling {
namespace {

using Map = CalorimeterMap;

[[noreturn]] void reject(const Config& config, const std::string& what) {
  throw Error(ErrorKind::usage, config.name() + ": " + what);
}

void read_table(Config& config, const std::string& section, Map::Table& table) {
  config.get(section + ".file", table.file);
  config.get(section + ".records", table.records);
  if (table.file.find('/') != std::string::npos || std::count(table.file.begin(), table.file.end(), '*') > 1) {
    reject(config, section + ".file = " + table.file + ": expected the name of a file with one * at most");
  }
  if (!table.records.empty() && !table.file.ends_with(".json")) {
    reject(config, section + ".records: expected only for a file whose name ends in .json");
  }
}

// Both or neither.
void require_with(const Config& config, const std::string& key, const std::string& value, const std::string& other_key,
                  const std::string& other) {
  if (!value.empty() && other.empty()) reject(config, other_key + " is missing beside " + key);
}

void refuse_with(const Config& config, const std::string& key, const std::string& value, const std::string& other_key,
                 const std::string& other) {
  if (!value.empty() && !other.empty()) reject(config, key + ": expected only without " + other_key);
}

void check_hits(const Config& config, const Map::Hits& hits) {
  if (hits.table.file.empty()) reject(config, "hits.file is missing");
  for (const auto& [key, column] :
       {std::pair("x", hits.x), std::pair("y", hits.y), std::pair("z", hits.z), std::pair("energy", hits.energy)}) {
    if (column.empty()) reject(config, std::string("hits.") + key + ": expected the name of a column");
  }
}

void check_truth(const Config& config, const Map::Truth& truth, const Map::Hits& hits) {
  const std::string any = truth.table.file + truth.fraction + truth.energy;
  require_with(config, "the other keys of [truth]", any, "truth.shower_id", truth.shower_id);
  refuse_with(config, "truth.fraction", truth.fraction, "truth.energy", truth.energy);
  require_with(config, "truth.file", truth.table.file, "truth.hit_id", truth.hit_id);
  require_with(config, "truth.hit_id", truth.hit_id, "truth.file", truth.table.file);
  require_with(config, "truth.file", truth.table.file, "hits.hit_id", hits.hit_id);
}

void check_showers(const Config& config, const Map::Showers& showers, const Map::Truth& truth) {
  const std::string any =
      showers.table.file + showers.shower_id + (showers.any() ? "any" : "") + showers.py + showers.pz + showers.mass;
  require_with(config, "[showers]", any, "truth.shower_id", truth.shower_id);
  require_with(config, "showers.file", showers.table.file, "showers.shower_id", showers.shower_id);
  require_with(config, "showers.shower_id", showers.shower_id, "showers.file", showers.table.file);
  if (showers.table.file.empty() && !truth.table.file.empty() && !any.empty()) {
    reject(config, "showers.file is missing: the rows of the hits do not name showers");
  }
  const std::string momentum = showers.px + showers.py + showers.pz + showers.mass;
  for (const auto& [key, column] : {std::pair("showers.px", showers.px), std::pair("showers.py", showers.py),
                                    std::pair("showers.pz", showers.pz)}) {
    require_with(config, "momenta and masses", momentum, key, column);
  }
  refuse_with(config, "showers.px", momentum, "showers.energy, eta or phi", showers.energy + showers.eta + showers.phi);
}

}  // namespace

CalorimeterMap load_calorimeter_map(const std::filesystem::path& file) {
  Config config = Config::load(file);
  Map map;
  map.name = config.name();
  for (const auto& [key, value] : {std::pair("units.length", &map.length), std::pair("units.energy", &map.energy),
                                   std::pair("units.time", &map.time)}) {
    config.get(key, *value, 1e-12, 1e12);
  }
  Map::Hits& hits = map.hits;
  read_table(config, "hits", hits.table);
  for (const auto& [key, column] :
       {std::pair("hits.hit_id", &hits.hit_id), std::pair("hits.x", &hits.x), std::pair("hits.y", &hits.y),
        std::pair("hits.z", &hits.z), std::pair("hits.energy", &hits.energy), std::pair("hits.time", &hits.time),
        std::pair("hits.layer", &hits.layer)}) {
    config.get(key, *column);
  }
  config.get("hits.min_energy", hits.min_energy, 0, 1e12);
  config.get("hits.merge", hits.merge);

  Map::Truth& truth = map.truth;
  read_table(config, "truth", truth.table);
  for (const auto& [key, column] :
       {std::pair("truth.hit_id", &truth.hit_id), std::pair("truth.shower_id", &truth.shower_id),
        std::pair("truth.fraction", &truth.fraction), std::pair("truth.energy", &truth.energy)}) {
    config.get(key, *column);
  }
  config.get("truth.noise", truth.noise, std::numeric_limits<int>::min(), std::numeric_limits<int>::max());

  Map::Showers& showers = map.showers;
  read_table(config, "showers", showers.table);
  for (const auto& [key, column] :
       {std::pair("showers.shower_id", &showers.shower_id), std::pair("showers.energy", &showers.energy),
        std::pair("showers.eta", &showers.eta), std::pair("showers.phi", &showers.phi),
        std::pair("showers.px", &showers.px), std::pair("showers.py", &showers.py),
        std::pair("showers.pz", &showers.pz), std::pair("showers.mass", &showers.mass),
        std::pair("showers.pdg", &showers.pdg), std::pair("showers.hard", &showers.hard)}) {
    config.get(key, *column);
  }
  config.finish();
  check_hits(config, hits);
  check_truth(config, truth, hits);
  check_showers(config, showers, truth);
  return map;
}

}  // namespace starling
