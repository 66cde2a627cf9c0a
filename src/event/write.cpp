#include <deque>

#include "event/csv.h"
#include "files/files.h"
#include "starling/event.h"

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
  Sources result = {{"particle_id", p.particle_id},
                    {"vx", p.vx},
                    {"vy", p.vy},
                    {"vz", p.vz},
                    {"px", p.px},
                    {"py", p.py},
                    {"pz", p.pz},
                    {"q", p.q},
                    {"nhits", p.nhits}};
  if (!p.particle_type.empty()) result.push_back({"particle_type", p.particle_type});
  if (!p.primary.empty()) result.push_back({"primary", p.primary});
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

}  // namespace

void write_event(const fs::path& folder, const Event& event) {
  files::make_folder(folder);
  std::deque<files::Writer> writers;
  const auto write = [&](const char* end, const Sources& columns) {
    const fs::path file = folder / (event.name + end);
    csv::write(writers.emplace_back(file, files::Durable::no), file.string(), columns);
  };
  if (event.truth) write("-truth.csv", sources(event.hits, *event.truth));
  if (event.particles) write("-particles.csv", sources(*event.particles));
  if (event.cells) {
    const Cells& cells = *event.cells;
    const std::vector<std::int64_t> hit_id = hit_ids_of(cells, event.hits, folder / (event.name + "-cells.csv"));
    write("-cells.csv", {{"hit_id", hit_id}, {"ch0", cells.ch0}, {"ch1", cells.ch1}, {"value", cells.value}});
  }
  // Hits come last: they make the event, which is whole from then on.
  write("-hits.csv", sources(event.hits));
  for (files::Writer& writer : writers) writer.commit();
}

void write_tracks(const fs::path& file, const Hits& hits, std::span<const std::int32_t> track_of_hit) {
  files::Writer writer(file, files::Durable::no);
  csv::write(writer, file.string(), Sources{{"hit_id", hits.hit_id}, {"track_id", track_of_hit}});
  writer.commit();
}

}  // namespace starling
