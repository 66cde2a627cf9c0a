#include "calorimeter/parse.h"

#include <algorithm>
#include <numeric>

#include "numbers/numbers.h"
#include "starling/error.h"
#include "table/csv.h"
#include "table/id_column.h"

namespace starling {
namespace {

// Throws for the first value below 0.
void require_not_negative(std::string_view text, const std::string& name, const char* column,
                          std::span<const float> values) {
  const auto wrong = std::find_if(values.begin(), values.end(), [](float value) { return value < 0; });
  if (wrong == values.end()) return;
  csv::fail_at_row(text, name, static_cast<std::int32_t>(wrong - values.begin()),
                   std::string(column) + " = " + numbers::to_text(*wrong) + ": expected at least 0");
}

csv::Column optional_column(std::string_view name, std::vector<float>& into) {
  return {.name = name, .into = &into, .required = false};
}

// The rows of a truth file, and what each is about.
struct TruthRows {
  std::vector<std::int64_t> hit_id, shower_id;
  std::vector<float> fraction;
  std::vector<std::int32_t> hit, shower;
};

std::vector<std::int32_t> rows_by_hit(const std::vector<std::int32_t>& hit, std::vector<std::int32_t>& row_splits) {
  for (const std::int32_t h : hit) ++row_splits[static_cast<std::size_t>(h) + 1];
  std::partial_sum(row_splits.begin(), row_splits.end(), row_splits.begin());
  std::vector<std::int32_t> next(row_splits.begin(), row_splits.end() - 1), rows(hit.size());
  for (std::size_t row = 0; row < hit.size(); ++row) {
    rows[static_cast<std::size_t>(next[static_cast<std::size_t>(hit[row])]++)] = static_cast<std::int32_t>(row);
  }
  return rows;
}

}  // namespace

CalorimeterHits parse_calorimeter_hits(std::string_view text, const std::string& name, IdIndex& index) {
  CalorimeterHits hits;
  const csv::Column columns[] = {{"hit_id", &hits.hit_id},
                                 {"x", &hits.x},
                                 {"y", &hits.y},
                                 {"z", &hits.z},
                                 {"energy", &hits.energy},
                                 optional_column("time", hits.time),
                                 {.name = "layer", .into = &hits.layer, .required = false}};
  csv::read(text, name, columns);
  require_not_negative(text, name, "energy", hits.energy);
  index = IdIndex(hits.hit_id);
  IdColumn{text, name, "hit_id", hits.hit_id}.require_unique(index);
  return hits;
}

Showers parse_showers(std::string_view text, const std::string& name) {
  Showers showers;
  const csv::Column columns[] = {{"shower_id", &showers.shower_id},
                                 optional_column("energy", showers.energy),
                                 optional_column("eta", showers.eta),
                                 optional_column("phi", showers.phi),
                                 {.name = "pdg", .into = &showers.pdg, .required = false},
                                 {.name = "hard", .into = &showers.hard, .least = 0, .required = false}};
  csv::read(text, name, columns);
  require_not_negative(text, name, "energy", showers.energy);
  for (std::size_t i = 0; i < showers.hard.size(); ++i) {
    if (showers.hard[i] <= 1) continue;
    csv::fail_at_row(text, name, static_cast<std::int32_t>(i),
                     "hard = " + std::to_string(showers.hard[i]) + ": expected 1 or 0");
  }
  IdColumn{text, name, "shower_id", showers.shower_id}.require_unique(IdIndex(showers.shower_id));
  return showers;
}

ShowerTruth parse_shower_truth(std::string_view text, const std::string& name, const IdIndex& hits,
                               std::int32_t num_hits, std::optional<Showers>& showers) {
  TruthRows rows;
  const csv::Column columns[] = {
      {"hit_id", &rows.hit_id}, {"shower_id", &rows.shower_id}, {"fraction", &rows.fraction}};
  const std::int32_t count = csv::read(text, name, columns);
  require_not_negative(text, name, "fraction", rows.fraction);
  if (!showers) {
    showers.emplace().shower_id = rows.shower_id;
    std::vector<std::int64_t>& ids = showers->shower_id;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  }
  const IdIndex shower_index(showers->shower_id);
  const IdColumn hit_ids{text, name, "hit_id", rows.hit_id}, shower_ids{text, name, "shower_id", rows.shower_id};
  for (std::int32_t row = 0; row < count; ++row) {
    rows.hit.push_back(hit_ids.find(row, hits));
    rows.shower.push_back(shower_ids.find(row, shower_index, "the showers file"));
  }

  ShowerTruth truth;
  truth.row_splits.assign(static_cast<std::size_t>(num_hits) + 1, 0);
  const std::vector<std::int32_t> order = rows_by_hit(rows.hit, truth.row_splits);
  std::vector<std::int32_t> last_hit(showers->shower_id.size(), -1);  // per shower: the last hit that named it
  double sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto row = static_cast<std::size_t>(order[i]);
    const auto hit = static_cast<std::size_t>(rows.hit[row]), shower = static_cast<std::size_t>(rows.shower[row]);
    if (std::exchange(last_hit[shower], rows.hit[row]) == rows.hit[row]) {
      shower_ids.fail(order[i], "expected once for hit_id = " + std::to_string(rows.hit_id[row]) + ", appears again");
    }
    if (i == static_cast<std::size_t>(truth.row_splits[hit])) sum = 0;
    sum += double{rows.fraction[row]};
    if (sum > 1 + double{kFractionTolerance}) {
      csv::fail_at_row(text, name, order[i],
                       "fraction: those of hit_id = " + std::to_string(rows.hit_id[row]) + " sum to " +
                           numbers::to_text(sum) + ", expected at most 1");
    }
    truth.shower.push_back(rows.shower[row]);
    truth.fraction.push_back(rows.fraction[row]);
  }
  return truth;
}

}  // namespace starling
