#include "starling/calorimeter.h"
#include "starling/error.h"
#include "table/csv.h"
#include "table/id_column.h"
#include "table/parts.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

// Without a row nobody can tell which columns are known: then all are named, so that a later event may replace this.
std::vector<csv::Source> columns_of(const CalorimeterHits& h) {
  std::vector<csv::Source> columns = {{"hit_id", h.hit_id}, {"x", h.x}, {"y", h.y}, {"z", h.z}, {"energy", h.energy}};
  const bool none = h.hit_id.empty();
  if (none || !h.time.empty()) columns.push_back({"time", h.time});
  if (none || !h.layer.empty()) columns.push_back({"layer", h.layer});
  return columns;
}

std::vector<csv::Source> columns_of(const Showers& s) {
  std::vector<csv::Source> columns = {{"shower_id", s.shower_id}};
  const auto add = [&](std::string_view name, const auto& column) {
    if (s.shower_id.empty() || !column.empty()) columns.push_back({name, column});
  };
  add("energy", s.energy), add("eta", s.eta), add("phi", s.phi), add("pdg", s.pdg), add("hard", s.hard);
  return columns;
}

const std::vector<Part>& calorimeter_parts() {
  static const std::vector<Part> all = {
      {"-truth.csv", {"hit_id", "shower_id", "fraction"}},
      {"-showers.csv", {"shower_id", "energy", "eta", "phi", "pdg", "hard"}},
      {"-hits.csv", {"hit_id", "x", "y", "z", "energy", "time", "layer"}},
  };
  return all;
}

// The ids of the hit and the shower of each entry.
struct TruthIds {
  std::vector<std::int64_t> hit_id, shower_id;

  TruthIds(const ShowerTruth& truth, const CalorimeterHits& hits, const Showers& showers) {
    for (std::int32_t hit = 0; hit < hits.size(); ++hit) {
      for (std::int32_t i = truth.row_splits[hit]; i < truth.row_splits[hit + 1]; ++i) {
        hit_id.push_back(hits.hit_id[hit]);
        shower_id.push_back(showers.shower_id[truth.shower[i]]);
      }
    }
  }
};

}  // namespace

void write_calorimeter_event(const fs::path& folder, const CalorimeterEvent& event) {
  check_part_name("write_calorimeter_event", event.name);
  const fs::path prefix = folder / event.name;
  // What read_calorimeter_event would refuse.
  CalorimeterHitsView(event.hits).check();
  check_unique(part_file(prefix, "-hits.csv").string() + ": hit_id", event.hits.hit_id);
  if (event.showers) {
    event.showers->check();
    check_unique(part_file(prefix, "-showers.csv").string() + ": shower_id", event.showers->shower_id);
  }
  if (event.truth) {
    if (!event.showers) {
      throw Error(ErrorKind::usage, prefix.string() + ": has truth and no showers, expected both");
    }
    event.truth->check(event.hits.size(), event.showers->size());
  }

  // Hits come last: they make the event, which is whole from then on.
  std::vector<PartOutput> outputs;
  std::optional<TruthIds> ids;
  if (event.truth) {
    ids.emplace(*event.truth, event.hits, *event.showers);
    outputs.push_back(
        {"-truth.csv", {{"hit_id", ids->hit_id}, {"shower_id", ids->shower_id}, {"fraction", event.truth->fraction}}});
  }
  if (event.showers) outputs.push_back({"-showers.csv", columns_of(*event.showers)});
  outputs.push_back({"-hits.csv", columns_of(event.hits)});

  files::make_folder(folder);
  check_parts_place(prefix, calorimeter_parts(), outputs);
  write_parts(prefix, calorimeter_parts(), outputs);
}

}  // namespace starling
