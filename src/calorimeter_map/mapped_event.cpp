// From rows of others to hits, fractions and showers of ours.
#include "calorimeter_map/mapped_event.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "numbers/numbers.h"
#include "starling/error.h"
#include "table/id_index.h"

namespace starling {
namespace {

using Map = CalorimeterMap;
using Columns = std::vector<csv::Column>;

constexpr float kBeamLineEta = 10;  // the largest |eta| (docs/definitions.md, Features)

template <class Number>
void add_column(Columns& columns, const std::string& name, std::vector<Number>& into) {
  if (!name.empty()) columns.push_back({.name = name, .into = &into});
}

// Ids of showers, where null, nan and nothing are noise.
void add_shower_ids(Columns& columns, const std::string& name, std::vector<std::int64_t>& into, int noise) {
  columns.push_back({.name = name, .into = &into, .missing = noise});
}

// Multiplies a column by its unit.
void scale(const Records& records, const std::string& name, std::vector<float>& values, double unit) {
  for (std::size_t row = 0; row < values.size(); ++row) {
    const auto scaled = static_cast<float>(double{values[row]} * unit);
    if (!std::isfinite(scaled)) {
      records.fail(static_cast<std::int32_t>(row), name + " = " + numbers::to_text(values[row]) +
                                                       ": expected a number that a float can hold in our unit");
    }
    values[row] = scaled;
  }
}

void require_not_below_zero(const Records& records, const std::string& name, const std::vector<float>& values) {
  const auto wrong = std::find_if(values.begin(), values.end(), [](float value) { return value < 0; });
  if (wrong == values.end()) return;
  records.fail(static_cast<std::int32_t>(wrong - values.begin()),
               name + " = " + numbers::to_text(*wrong) + ": expected at least 0");
}

void require_unique(const Records& records, const std::string& name, const std::vector<std::int64_t>& ids) {
  const std::int32_t row = IdIndex(ids).duplicate();
  if (row < 0) return;
  records.fail(row,
               name + " = " + std::to_string(ids[static_cast<std::size_t>(row)]) + ": expected once, appears again");
}

// What a table says of showers, a row each.
struct ShowerRows {
  std::vector<std::int64_t> shower_id;
  std::vector<float> energy, eta, phi, px, py, pz, mass;
  std::vector<std::int32_t> pdg, hard;

  void add_columns(Columns& columns, const Map::Showers& map) {
    add_column(columns, map.energy, energy), add_column(columns, map.eta, eta), add_column(columns, map.phi, phi);
    add_column(columns, map.px, px), add_column(columns, map.py, py), add_column(columns, map.pz, pz);
    add_column(columns, map.mass, mass), add_column(columns, map.pdg, pdg);
    if (!map.hard.empty()) columns.push_back({.name = map.hard, .into = &hard, .least = 0});
  }

  void finish(const Records& records, const Map& map) {
    scale(records, map.showers.energy, energy, map.energy);
    require_not_below_zero(records, map.showers.energy, energy);
    for (auto* const column : {&px, &py, &pz, &mass}) scale(records, "momentum or mass", *column, map.energy);
    for (std::size_t row = 0; row < hard.size(); ++row) {
      if (hard[row] <= 1) continue;
      records.fail(static_cast<std::int32_t>(row),
                   map.showers.hard + " = " + std::to_string(hard[row]) + ": expected 1 or 0");
    }
    for (std::size_t row = 0; row < px.size(); ++row) {
      const double pt = std::hypot(double{px[row]}, double{py[row]}), p = std::hypot(pt, double{pz[row]});
      const auto whole = static_cast<float>(std::hypot(p, mass.empty() ? 0. : double{mass[row]}));
      if (!std::isfinite(whole)) records.fail(static_cast<std::int32_t>(row), "the energy is too large for a float");
      energy.push_back(whole);
      const auto direction = p > 0 ? static_cast<float>(std::asinh(double{pz[row]} / pt)) : 0.F;
      eta.push_back(std::clamp(direction, -kBeamLineEta, kBeamLineEta));
      phi.push_back(static_cast<float>(std::atan2(double{py[row]}, double{px[row]})));
    }
  }

  void append_to(Showers& showers, std::int32_t row) const {
    const auto copy = [row](const auto& from, auto& to) {
      if (!from.empty()) to.push_back(from[static_cast<std::size_t>(row)]);
    };
    copy(energy, showers.energy), copy(eta, showers.eta), copy(phi, showers.phi);
    copy(pdg, showers.pdg), copy(hard, showers.hard);
  }
};

// The table of the hits, in our units, and the hit that each row becomes.
struct HitRows {
  std::vector<std::int64_t> hit_id, shower_id;
  std::vector<float> x, y, z, energy, time, fraction, part;
  std::vector<std::int32_t> layer;
  ShowerRows showers;
  std::vector<std::int32_t> hit;  // −1 = left out

  HitRows(const Records& records, const Map& map, bool with_truth) {
    const Map::Hits& names = map.hits;
    Columns columns;
    add_column(columns, names.hit_id, hit_id);
    add_column(columns, names.x, x), add_column(columns, names.y, y), add_column(columns, names.z, z);
    add_column(columns, names.energy, energy), add_column(columns, names.time, time);
    add_column(columns, names.layer, layer);
    if (with_truth && map.truth.table.file.empty()) {
      add_shower_ids(columns, map.truth.shower_id, shower_id, map.truth.noise);
      add_column(columns, map.truth.fraction, fraction), add_column(columns, map.truth.energy, part);
      if (map.showers.table.file.empty()) showers.add_columns(columns, map.showers);
    }
    const std::int32_t rows = records.read(columns);
    for (auto* const column : {&x, &y, &z}) scale(records, "a position", *column, map.length);
    scale(records, names.energy, energy, map.energy);
    require_not_below_zero(records, names.energy, energy);
    scale(records, names.time, time, map.time);
    if (names.hit_id.empty()) {
      hit_id.resize(static_cast<std::size_t>(rows));
      std::iota(hit_id.begin(), hit_id.end(), 0);
    } else {
      require_unique(records, names.hit_id, hit_id);
    }
    showers.finish(records, map);
  }

  // Per row, the first row of its position.
  std::vector<std::int32_t> first_of_position() const {
    std::vector<std::int32_t> order(x.size()), first(x.size());
    std::iota(order.begin(), order.end(), 0);
    const auto at = [&](std::int32_t row) {
      const auto i = static_cast<std::size_t>(row);
      return std::tuple(x[i], y[i], z[i]);
    };
    std::sort(order.begin(), order.end(),
              [&](std::int32_t a, std::int32_t b) { return std::pair(at(a), a) < std::pair(at(b), b); });
    for (std::size_t i = 0; i < order.size(); ++i) {
      const bool again = i > 0 && at(order[i]) == at(order[i - 1]);
      first[static_cast<std::size_t>(order[i])] = again ? first[static_cast<std::size_t>(order[i - 1])] : order[i];
    }
    return first;
  }

  CalorimeterHits make_hits(const Records& records, const Map::Hits& map) {
    const std::size_t rows = x.size();
    std::vector<std::int32_t> first(rows);
    if (map.merge) {
      first = first_of_position();
    } else {
      std::iota(first.begin(), first.end(), 0);
    }
    std::vector<double> sum(rows, 0);
    for (std::size_t row = 0; row < rows; ++row) sum[static_cast<std::size_t>(first[row])] += double{energy[row]};
    CalorimeterHits hits;
    hit.assign(rows, -1);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto of = static_cast<std::size_t>(first[row]);
      if (of != row) {
        hit[row] = hit[of];
        continue;
      }
      const auto whole = static_cast<float>(sum[row]);
      if (!std::isfinite(whole)) records.fail(first[row], "the energy of this position is too large for a float");
      if (whole < map.min_energy) continue;
      hit[row] = hits.size();
      hits.hit_id.push_back(hit_id[row]);
      hits.x.push_back(x[row]), hits.y.push_back(y[row]), hits.z.push_back(z[row]), hits.energy.push_back(whole);
      if (!time.empty()) hits.time.push_back(time[row]);
      if (!layer.empty()) hits.layer.push_back(layer[row]);
    }
    return hits;
  }
};

// A part of a hit that is of one shower.
struct TruthPart {
  std::int32_t hit = 0;
  std::int64_t shower_id = 0;
  double energy = 0;
  std::int32_t row = 0;  // of the table of the truth
};

std::vector<TruthPart> parts_in_hits(const HitRows& rows, const Map::Truth& map, const Records& records,
                                     double energy_unit) {
  std::vector<TruthPart> parts;
  for (std::size_t row = 0; row < rows.hit.size(); ++row) {
    if (rows.hit[row] < 0 || rows.shower_id[row] == map.noise) continue;
    const double energy = !rows.part.empty()       ? double{rows.part[row]} * energy_unit
                          : !rows.fraction.empty() ? double{rows.fraction[row]} * double{rows.energy[row]}
                                                   : double{rows.energy[row]};
    parts.push_back({rows.hit[row], rows.shower_id[row], energy, static_cast<std::int32_t>(row)});
  }
  require_not_below_zero(records, map.fraction, rows.fraction);
  require_not_below_zero(records, map.energy, rows.part);
  return parts;
}

std::vector<TruthPart> parts_in_table(const Records& records, const HitRows& rows, const Map::Truth& map,
                                      double energy_unit) {
  std::vector<std::int64_t> hit_id, shower_id;
  std::vector<float> fraction, energy;
  Columns columns;
  add_column(columns, map.hit_id, hit_id);
  add_shower_ids(columns, map.shower_id, shower_id, map.noise);
  add_column(columns, map.fraction, fraction), add_column(columns, map.energy, energy);
  const std::int32_t count = records.read(columns);
  require_not_below_zero(records, map.fraction, fraction);
  require_not_below_zero(records, map.energy, energy);
  const IdIndex index(rows.hit_id);
  std::vector<TruthPart> parts;
  for (std::int32_t row = 0; row < count; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const std::int32_t hit_row = index.find(hit_id[i]);
    if (hit_row < 0) {
      records.fail(row, map.hit_id + " = " + std::to_string(hit_id[i]) + ": expected one of the hits");
    }
    const auto of = static_cast<std::size_t>(hit_row);
    if (rows.hit[of] < 0 || shower_id[i] == map.noise) continue;
    const double part = !energy.empty()     ? double{energy[i]} * energy_unit
                        : !fraction.empty() ? double{fraction[i]} * double{rows.energy[of]}
                                            : double{rows.energy[of]};
    parts.push_back({rows.hit[of], shower_id[i], part, row});
  }
  return parts;
}

// Parts of one hit and shower add up; the showers are those that have a part. Returns a row of each shower.
std::vector<std::int32_t> make_truth(CalorimeterEvent& event, std::vector<TruthPart> parts, const Records& records) {
  std::sort(parts.begin(), parts.end(), [](const TruthPart& a, const TruthPart& b) {
    return std::tuple(a.hit, a.shower_id, a.row) < std::tuple(b.hit, b.shower_id, b.row);
  });
  std::vector<std::int64_t>& ids = event.showers.emplace().shower_id;
  for (const TruthPart& part : parts) ids.push_back(part.shower_id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const IdIndex index(ids);

  ShowerTruth& truth = event.truth.emplace();
  truth.row_splits.reserve(event.hits.hit_id.size() + 1);
  std::size_t next = 0;
  for (std::int32_t hit = 0; hit < event.hits.size(); ++hit) {
    const double whole = double{event.hits.energy[static_cast<std::size_t>(hit)]};
    const std::size_t begin = next;
    double sum = 0;
    for (; next < parts.size() && parts[next].hit == hit; ++next) {
      sum += parts[next].energy;
      if (sum > whole * (1 + double{kFractionTolerance})) {
        records.fail(parts[next].row,
                     "the parts of hit_id = " + std::to_string(event.hits.hit_id[static_cast<std::size_t>(hit)]) +
                         " sum to " + numbers::to_text(sum) + " GeV, expected at most its " + numbers::to_text(whole));
      }
    }
    const double divisor = std::max(sum, whole);
    for (std::size_t i = begin; i < next && divisor > 0;) {
      double energy = 0;
      const std::int64_t id = parts[i].shower_id;
      for (; i < next && parts[i].shower_id == id; ++i) energy += parts[i].energy;
      truth.shower.push_back(index.find(id));
      truth.fraction.push_back(static_cast<float>(energy / divisor));
    }
    truth.row_splits.push_back(static_cast<std::int32_t>(truth.shower.size()));
  }
  std::vector<std::int32_t> row_of_shower(ids.size());
  for (const TruthPart& part : parts) row_of_shower[static_cast<std::size_t>(index.find(part.shower_id))] = part.row;
  return row_of_shower;
}

// `truth` and `truth_row`, a row of each shower in it, are for messages.
void describe_showers(Showers& showers, const ShowerRows& rows, const std::vector<std::int64_t>& row_id,
                      const Map::Showers& map, const Records& truth, const std::vector<std::int32_t>& truth_row) {
  if (!map.any()) return;
  const IdIndex index(row_id);
  for (std::size_t s = 0; s < showers.shower_id.size(); ++s) {
    const std::int32_t row = index.find(showers.shower_id[s]);
    if (row < 0) {
      truth.fail(truth_row[s],
                 "shower " + std::to_string(showers.shower_id[s]) + ": expected one of the table of showers");
    }
    rows.append_to(showers, row);
  }
}

}  // namespace

CalorimeterEvent parse_mapped_event(const MappedTables& tables, const CalorimeterMap& map, bool with_truth) {
  const bool truth = with_truth && !map.truth.shower_id.empty();
  CalorimeterEvent event;
  HitRows rows(tables.hits, map, truth);
  event.hits = rows.make_hits(tables.hits, map.hits);
  if (!truth) return event;
  const Records& records = tables.truth ? *tables.truth : tables.hits;
  const std::vector<std::int32_t> row_of_shower =
      make_truth(event,
                 tables.truth ? parts_in_table(records, rows, map.truth, map.energy)
                              : parts_in_hits(rows, map.truth, records, map.energy),
                 records);
  if (!tables.showers) {
    describe_showers(*event.showers, rows.showers, rows.shower_id, map.showers, records, row_of_shower);
    return event;
  }
  ShowerRows showers;
  Columns columns;
  add_column(columns, map.showers.shower_id, showers.shower_id);
  showers.add_columns(columns, map.showers);
  tables.showers->read(columns);
  require_unique(*tables.showers, map.showers.shower_id, showers.shower_id);
  showers.finish(*tables.showers, map);
  describe_showers(*event.showers, showers, showers.shower_id, map.showers, records, row_of_shower);
  return event;
}

}  // namespace starling
