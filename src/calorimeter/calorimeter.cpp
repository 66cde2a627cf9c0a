#include "starling/calorimeter.h"

#include "calorimeter/parse.h"
#include "starling/error.h"
#include "table/csv.h"
#include "table/parts.h"

namespace starling {
namespace fs = std::filesystem;

CalorimeterEvent read_calorimeter_event(const fs::path& prefix, const CalorimeterReadOptions& options) {
  CalorimeterEvent event;
  event.name = prefix.filename().string();
  IdIndex index;
  {
    const PartContent hits = read_required_part(prefix, "-hits.csv", options.max_unpacked_bytes);
    event.hits = parse_calorimeter_hits(hits.text(), hits.name, index);
  }
  if (!options.truth) return event;
  if (const auto showers = read_part(prefix, "-showers.csv", options.max_unpacked_bytes)) {
    event.showers = parse_showers(showers->text(), showers->name);
  }
  if (const auto truth = read_part(prefix, "-truth.csv", options.max_unpacked_bytes)) {
    event.truth = parse_shower_truth(truth->text(), truth->name, index, event.hits.size(), event.showers);
  }
  return event;
}

bool is_calorimeter_event(const fs::path& prefix) {
  const PartContent hits = read_required_part(prefix, "-hits.csv", CalorimeterReadOptions().max_unpacked_bytes);
  if (hits.text().empty()) throw Error(ErrorKind::input, hits.name + ": is empty, expected a header");
  // A tracker's hits may have an energy too, but not without the module that they are in.
  if (csv::has_column(hits.text(), hits.name, "module_id")) return false;
  if (csv::has_column(hits.text(), hits.name, "energy")) return true;
  csv::fail_at_row(
      hits.text(), hits.name, -1,
      "no column energy, which hits of a calorimeter need, and no module_id, which those of a tracker need");
}

}  // namespace starling
