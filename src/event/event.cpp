#include "starling/event.h"

#include <set>

#include "event/parse.h"
#include "files/files.h"
#include "starling/error.h"
#include "table/csv.h"
#include "table/parts.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kHitsEnd = "-hits.csv";

// The prefix that a file of hits belongs to; empty for any other file. macOS leaves "._" files beside those that it
// copies: they are no events.
fs::path prefix_of_hits(const fs::path& file) {
  std::string name = file.filename().string();
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (!name.ends_with(kHitsEnd) || name.size() == kHitsEnd.size() || name.starts_with("._")) return {};
  return file.parent_path() / name.substr(0, name.size() - kHitsEnd.size());
}

}  // namespace

Event read_event(const fs::path& prefix, const ReadOptions& options) {
  const auto read = [&](std::string_view end) { return read_part(prefix, end, options.max_unpacked_bytes); };

  Event event;
  event.name = prefix.filename().string();
  IdIndex index;
  {
    const PartContent hits = read_required_part(prefix, kHitsEnd, options.max_unpacked_bytes);
    event.hits = parse_hits(hits.text(), hits.name, index);
  }
  if (options.truth) {
    bool known_tracks = false;
    if (const auto truth = read("-truth.csv")) {
      event.truth = parse_truth(truth->text(), truth->name, event.hits, index);
    } else if (const auto tracks = read("-tracks.csv")) {
      // Tracks that were reconstructed have a column track_id instead.
      known_tracks = csv::has_column(tracks->text(), tracks->name, "track");
      if (known_tracks) event.truth = parse_known_tracks(tracks->text(), tracks->name, event.hits, index);
    }
    // The numbers of known tracks are not those of the particles file.
    if (!known_tracks) {
      if (const auto particles = read("-particles.csv")) {
        event.particles = parse_particles(particles->text(), particles->name);
      }
    }
  }
  if (options.cells) {
    if (const auto cells = read("-cells.csv")) event.cells = parse_cells(cells->text(), cells->name, index);
  }
  return event;
}

std::vector<fs::path> find_events(const fs::path& path) {
  if (path.has_filename() && files::find(part_file(path, kHitsEnd))) return {path};
  std::error_code error;
  if (const fs::path prefix = prefix_of_hits(path); !prefix.empty() && !fs::is_directory(path, error)) {
    const std::optional<fs::path> read = files::find(part_file(prefix, kHitsEnd));
    if (read == path) return {prefix};
    throw Error(ErrorKind::input, path.string() + (read ? ": " + read->string() + " is beside it and would be read"
                                                        : std::string(": no such file")));
  }
  std::set<fs::path> prefixes;
  fs::directory_iterator folder(path, error);
  for (; !error && folder != fs::directory_iterator(); folder.increment(error)) {
    if (const fs::path prefix = prefix_of_hits(folder->path()); !prefix.empty()) prefixes.insert(prefix);
  }
  if (error) {
    throw Error(ErrorKind::input, path.string() + ": no event, expected " + path.string() +
                                      "-hits.csv (or .gz) or a folder of events: " + error.message());
  }
  if (prefixes.empty())
    throw Error(ErrorKind::input, path.string() + ": no event in this folder, expected *-hits.csv or .gz");
  return {prefixes.begin(), prefixes.end()};
}

}  // namespace starling
