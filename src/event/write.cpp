#include <algorithm>

#include "files/files.h"
#include "starling/error.h"
#include "starling/event.h"
#include "table/csv.h"
#include "table/id_column.h"
#include "table/parts.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

using Sources = std::vector<csv::Source>;

Sources sources(const Hits& h) {
  return {{"hit_id", h.hit_id},
          {"x", h.x},
          {"y", h.y},
          {"z", h.z},
          {"volume_id", h.volume_id},
          {"layer_id", h.layer_id},
          {"module_id", h.module_id}};
}

Sources sources(const Hits& hits, const Truth& truth) {
  Sources result = {{"hit_id", hits.hit_id}, {"particle_id", truth.particle_id}};
  if (!truth.weight.empty()) result.push_back({"weight", truth.weight});
  return result;
}

Sources sources(const Particles& p) {
  Sources result = {{"particle_id", p.particle_id}};
  // A column that is not known is left out; without a row nobody can tell, and the usual ones are named.
  const auto add = [&](std::string_view name, const auto& column, bool usual) {
    if (!column.empty() || (usual && p.particle_id.empty())) result.push_back({name, column});
  };
  add("vx", p.vx, true), add("vy", p.vy, true), add("vz", p.vz, true);
  add("px", p.px, true), add("py", p.py, true), add("pz", p.pz, true);
  add("q", p.q, true), add("nhits", p.nhits, true);
  add("particle_type", p.particle_type, false), add("primary", p.primary, false);
  return result;
}

std::vector<std::int64_t> hit_ids_of(const Cells& cells, const Hits& hits, const fs::path& file) {
  std::vector<std::int64_t> hit_id;
  hit_id.reserve(cells.hit.size());
  for (const std::int32_t hit : cells.hit) {
    if (hit < 0 || hit >= hits.size()) {
      throw Error(ErrorKind::usage, file.string() + ": cell of hit " + std::to_string(hit) + ": expected one of " +
                                        std::to_string(hits.size()) + " hits");
    }
    hit_id.push_back(hits.hit_id[static_cast<std::size_t>(hit)]);
  }
  return hit_id;
}

template <class T>
void check_least(const char* column, const std::vector<T>& values, T least, const fs::path& file) {
  const auto wrong = std::find_if(values.begin(), values.end(), [&](T value) { return value < least; });
  if (wrong != values.end()) {
    throw Error(ErrorKind::usage, file.string() + ": " + column + "[" + std::to_string(wrong - values.begin()) +
                                      "] = " + std::to_string(*wrong) + ": expected " + std::to_string(least) +
                                      " or more");
  }
}

const std::vector<Part>& parts() {
  static const std::vector<Part> all = {
      {"-truth.csv", {"hit_id", "particle_id", "weight"}},
      {"-particles.csv", {"particle_id", "vx", "vy", "vz", "px", "py", "pz", "q", "nhits", "particle_type", "primary"}},
      {"-cells.csv", {"hit_id", "ch0", "ch1", "value"}, true},
      {"-hits.csv", {"hit_id", "x", "y", "z", "volume_id", "layer_id", "module_id"}},
  };
  return all;
}

}  // namespace

void write_event(const fs::path& folder, const Event& event) {
  check_part_name("write_event", event.name);
  const fs::path prefix = folder / event.name;
  // What read_event would refuse.
  check_unique(part_file(prefix, "-hits.csv").string() + ": hit_id", event.hits.hit_id);
  if (event.truth) check_least("particle_id", event.truth->particle_id, kUnknown, part_file(prefix, "-truth.csv"));
  if (event.particles) {
    const fs::path file = part_file(prefix, "-particles.csv");
    check_least("particle_id", event.particles->particle_id, std::int64_t{1}, file);
    check_unique(file.string() + ": particle_id", event.particles->particle_id);
    check_least("nhits", event.particles->nhits, std::int32_t{0}, file);
  }

  // Hits come last: they make the event, which is whole from then on.
  std::vector<PartOutput> outputs;
  std::vector<std::int64_t> hit_of_cell;
  if (event.truth) outputs.push_back({"-truth.csv", sources(event.hits, *event.truth)});
  if (event.particles) outputs.push_back({"-particles.csv", sources(*event.particles)});
  if (event.cells) {
    const Cells& cells = *event.cells;
    hit_of_cell = hit_ids_of(cells, event.hits, part_file(prefix, "-cells.csv"));
    outputs.push_back(
        {"-cells.csv", {{"hit_id", hit_of_cell}, {"ch0", cells.ch0}, {"ch1", cells.ch1}, {"value", cells.value}}});
  }
  outputs.push_back({"-hits.csv", sources(event.hits)});

  files::make_folder(folder);
  check_parts_place(prefix, parts(), outputs);
  // Tracks may be an event's truth, which the new one would hide or take for its own.
  const std::string_view tracks = "hit_id,track_id\n";
  files::check_place(part_file(prefix, "-tracks.csv"), [&](std::string_view head) { return head.starts_with(tracks); });
  write_parts(prefix, parts(), outputs);
}

}  // namespace starling
