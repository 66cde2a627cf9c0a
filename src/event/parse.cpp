#include "event/parse.h"

#include <limits>

#include "starling/error.h"
#include "table/csv.h"
#include "table/id_column.h"

namespace starling {
namespace {

// Hands out the hit that each row of a file is about, once.
class Rows {
 public:
  Rows(const IdColumn& column, const IdIndex& index, std::size_t hits)
      : column_(column), index_(index), seen_(hits, false) {}

  std::size_t hit(std::int32_t row) {
    const auto hit = static_cast<std::size_t>(column_.find(row, index_));
    if (seen_[hit]) column_.fail(row, "expected once, appears again");
    seen_[hit] = true;
    return hit;
  }

 private:
  const IdColumn column_;
  const IdIndex& index_;
  std::vector<bool> seen_;
};

}  // namespace

Hits parse_hits(std::string_view text, const std::string& name, IdIndex& index) {
  Hits hits;
  const csv::Column columns[] = {{"hit_id", &hits.hit_id},
                                 {"x", &hits.x},
                                 {"y", &hits.y},
                                 {"z", &hits.z},
                                 {"volume_id", &hits.volume_id},
                                 {"layer_id", &hits.layer_id},
                                 {"module_id", &hits.module_id}};
  csv::read(text, name, columns);
  index = IdIndex(hits.hit_id);
  IdColumn{text, name, "hit_id", hits.hit_id}.require_unique(index);
  return hits;
}

Truth parse_truth(std::string_view text, const std::string& name, const Hits& hits, const IdIndex& index) {
  std::vector<std::int64_t> hit_id, particle_id;
  std::vector<float> weight;
  const csv::Column columns[] = {{"hit_id", &hit_id},
                                 {"particle_id", &particle_id, kUnknown},
                                 {.name = "weight", .into = &weight, .required = false}};
  const std::int32_t rows = csv::read(text, name, columns);
  Truth truth;
  truth.particle_id.resize(hits.hit_id.size());
  truth.weight.resize(weight.empty() ? 0 : hits.hit_id.size());
  Rows row_hits({text, name, "hit_id", hit_id}, index, hits.hit_id.size());
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::size_t hit = row_hits.hit(row);
    truth.particle_id[hit] = particle_id[static_cast<std::size_t>(row)];
    if (!weight.empty()) truth.weight[hit] = weight[static_cast<std::size_t>(row)];
  }
  if (rows < hits.size()) {
    throw Error(ErrorKind::input, name + ": has " + std::to_string(rows) + " rows for " + std::to_string(hits.size()) +
                                      " hits, expected one per hit (particle_id -1 where it is not known)");
  }
  return truth;
}

Particles parse_particles(std::string_view text, const std::string& name) {
  Particles p;
  const auto optional = [](std::string_view column, auto* into) {
    return csv::Column{.name = column, .into = into, .required = false};
  };
  const csv::Column columns[] = {{"particle_id", &p.particle_id, 1},
                                 optional("vx", &p.vx),
                                 optional("vy", &p.vy),
                                 optional("vz", &p.vz),
                                 optional("px", &p.px),
                                 optional("py", &p.py),
                                 optional("pz", &p.pz),
                                 optional("q", &p.q),
                                 {.name = "nhits", .into = &p.nhits, .least = 0, .required = false},
                                 optional("particle_type", &p.particle_type),
                                 optional("primary", &p.primary)};
  csv::read(text, name, columns);
  IdColumn{text, name, "particle_id", p.particle_id}.require_unique(IdIndex(p.particle_id));
  return p;
}

Cells parse_cells(std::string_view text, const std::string& name, const IdIndex& index) {
  Cells cells;
  std::vector<std::int64_t> hit_id;
  const csv::Column columns[] = {
      {"hit_id", &hit_id}, {"ch0", &cells.ch0}, {"ch1", &cells.ch1}, {"value", &cells.value}};
  const std::int32_t rows = csv::read(text, name, columns);
  cells.hit.reserve(hit_id.size());
  const IdColumn ids{text, name, "hit_id", hit_id};
  for (std::int32_t row = 0; row < rows; ++row) cells.hit.push_back(ids.find(row, index));
  return cells;
}

Truth parse_known_tracks(std::string_view text, const std::string& name, const Hits& hits, const IdIndex& index) {
  std::vector<std::int64_t> hit_id, track;
  const csv::Column columns[] = {{"hit_id", &hit_id}, {.name = "track", .into = &track, .least = -1, .missing = -1}};
  const std::int32_t rows = csv::read(text, name, columns);
  Truth truth;
  truth.particle_id.assign(hits.hit_id.size(), kUnknown);
  Rows row_hits({text, name, "hit_id", hit_id}, index, hits.hit_id.size());
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::size_t hit = row_hits.hit(row);
    const std::int64_t known = track[static_cast<std::size_t>(row)];
    if (known == std::numeric_limits<std::int64_t>::max()) {
      csv::fail_at_row(text, name, row, "track = " + std::to_string(known) + ": expected less");
    }
    if (known >= 0) truth.particle_id[hit] = known + 1;
  }
  return truth;
}

}  // namespace starling
