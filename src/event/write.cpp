#include <algorithm>
#include <deque>
#include <system_error>

#include "files/files.h"
#include "starling/error.h"
#include "starling/event.h"
#include "table/csv.h"
#include "table/id_index.h"

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

void check_ids(const char* column, std::span<const std::int64_t> ids, const fs::path& file) {
  if (const std::int32_t row = IdIndex(ids).duplicate(); row >= 0) {
    throw Error(ErrorKind::usage, file.string() + ": " + column + "[" + std::to_string(row) +
                                      "] = " + std::to_string(ids[static_cast<std::size_t>(row)]) +
                                      ": expected once, is there again");
  }
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

// A part of an event: the end of its file's name, and all columns that write_event may give it, in order.
struct Part {
  std::string_view end;
  std::vector<std::string_view> columns;
};

const std::vector<Part>& parts() {
  static const std::vector<Part> all = {
      {"-truth.csv", {"hit_id", "particle_id", "weight"}},
      {"-particles.csv", {"particle_id", "vx", "vy", "vz", "px", "py", "pz", "q", "nhits", "particle_type", "primary"}},
      {"-cells.csv", {"hit_id", "ch0", "ch1", "value"}},
      {"-hits.csv", {"hit_id", "x", "y", "z", "volume_id", "layer_id", "module_id"}},
  };
  return all;
}

// A part that is to be written.
struct Output {
  std::string_view end;
  Sources columns;
};

fs::path file_of(const fs::path& folder, const Event& event, std::string_view end) {
  return folder / (event.name + std::string(end));
}

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(file, ignored));
}

// Whether a file with this header may be an earlier result of write_event that the new columns replace: it names
// columns of the part only, in their order, and all of the new ones.
bool may_be_ours(std::string_view head, const Part& part, const Sources& replacing) {
  std::string_view header = head.substr(0, head.find('\n'));
  std::size_t known = 0, replaced = 0;
  for (bool more = true; more;) {
    const std::size_t comma = header.find(',');
    const std::string_view column = header.substr(0, comma);
    more = comma != std::string_view::npos;
    header.remove_prefix(more ? comma + 1 : header.size());
    while (known < part.columns.size() && part.columns[known] != column) ++known;
    if (known++ == part.columns.size()) return false;
    replaced += replaced < replacing.size() && replacing[replaced].name == column;
  }
  return replaced == replacing.size();
}

// Throws where an event of this name is there that write_event did not write, or a file that the new one would hide.
// An event that lacks a part of the new one was written by something else too. Cells are replaced by cells only: the
// header of another data set's cells is the same, and nothing would stand in for them.
void check_place(const fs::path& folder, const Event& event, const std::vector<Output>& outputs) {
  const fs::path hits = file_of(folder, event, "-hits.csv");
  const bool replaces = is_there(hits);
  for (const Part& part : parts()) {
    const auto output =
        std::find_if(outputs.begin(), outputs.end(), [&](const Output& one) { return one.end == part.end; });
    const Sources replacing = output == outputs.end() ? Sources() : output->columns;
    const fs::path file = file_of(folder, event, part.end);
    files::check_place(file, [&](std::string_view head) { return may_be_ours(head, part, replacing); });
    if (part.end == "-cells.csv" && !event.cells && is_there(file)) {
      throw Error(ErrorKind::usage,
                  file.string() + ": is there and the new event has no cells; expected another folder");
    }
    if (replaces && output != outputs.end() && !is_there(file)) {
      throw Error(ErrorKind::usage, hits.string() + ": is there without " + file.filename().string() +
                                        ", so it is not an earlier result of Starling; expected another folder");
    }
  }
  // Tracks may be an event's truth, which the new one would hide or take for its own.
  const std::string_view tracks = "hit_id,track_id\n";
  files::check_place(file_of(folder, event, "-tracks.csv"),
                     [&](std::string_view head) { return head.starts_with(tracks); });
}

void remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error) throw Error(ErrorKind::usage, file.string() + ": cannot be removed: " + error.message());
}

}  // namespace

void write_event(const fs::path& folder, const Event& event) {
  if (event.name.empty() || event.name.find('/') != std::string::npos) {
    throw Error(ErrorKind::usage, "write_event: the event is named '" + files::printable(event.name) +
                                      "', expected the beginning of a file's name");
  }
  // What read_event would refuse.
  check_ids("hit_id", event.hits.hit_id, file_of(folder, event, "-hits.csv"));
  if (event.truth) {
    check_least("particle_id", event.truth->particle_id, kUnknown, file_of(folder, event, "-truth.csv"));
  }
  if (event.particles) {
    const fs::path file = file_of(folder, event, "-particles.csv");
    check_least("particle_id", event.particles->particle_id, std::int64_t{1}, file);
    check_ids("particle_id", event.particles->particle_id, file);
    check_least("nhits", event.particles->nhits, std::int32_t{0}, file);
  }

  // Hits come last: they make the event, which is whole from then on.
  std::vector<Output> outputs;
  std::vector<std::int64_t> hit_of_cell;
  if (event.truth) outputs.push_back({"-truth.csv", sources(event.hits, *event.truth)});
  if (event.particles) outputs.push_back({"-particles.csv", sources(*event.particles)});
  if (event.cells) {
    const Cells& cells = *event.cells;
    hit_of_cell = hit_ids_of(cells, event.hits, file_of(folder, event, "-cells.csv"));
    outputs.push_back(
        {"-cells.csv", {{"hit_id", hit_of_cell}, {"ch0", cells.ch0}, {"ch1", cells.ch1}, {"value", cells.value}}});
  }
  outputs.push_back({"-hits.csv", sources(event.hits)});

  files::make_folder(folder);
  check_place(folder, event, outputs);
  std::deque<files::Writer> writers;
  for (const Output& output : outputs) {
    const fs::path file = file_of(folder, event, output.end);
    csv::write(writers.emplace_back(file, files::Durable::no), file.string(), output.columns);
  }
  // What the event had before goes first, its hits before all else: from here to the end there is no event, so that an
  // end in between leaves no mixture of the two.
  remove_file(file_of(folder, event, "-hits.csv"));
  for (const Part& part : parts()) {
    const bool written =
        std::any_of(outputs.begin(), outputs.end(), [&](const Output& one) { return one.end == part.end; });
    if (!written) remove_file(file_of(folder, event, part.end));
  }
  for (files::Writer& writer : writers) writer.commit();
}

}  // namespace starling
