#include "starling/event.h"

#include <algorithm>
#include <set>

#include "event/parse.h"
#include "files/files.h"
#include "table/csv.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kHitsEnd = "-hits.csv";

fs::path appended(const fs::path& prefix, std::string_view end) {
  fs::path file = prefix;
  file += end;
  return file;
}

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
  // Calls use(text, name) where there is such a file; whether there is.
  const auto with_file = [&](const std::string& end, auto use) {
    const std::optional<fs::path> file = files::find(appended(prefix, end));
    if (!file) return false;
    const files::Bytes content = files::read_unpacked(*file, options.max_unpacked_bytes);
    use(content.text(), file->string());
    return true;
  };

  Event event;
  event.name = prefix.filename().string();
  IdIndex index;
  const bool found = with_file(std::string(kHitsEnd), [&](std::string_view text, const std::string& name) {
    event.hits = parse_hits(text, name, index);
  });
  if (!found) {
    throw Error(ErrorKind::input,
                appended(prefix, kHitsEnd).string() + ": no such file, expected it or the same with .gz");
  }
  if (options.truth) {
    bool known_tracks = false;
    const bool truth = with_file("-truth.csv", [&](std::string_view text, const std::string& name) {
      event.truth = parse_truth(text, name, event.hits, index);
    });
    if (!truth) {
      with_file("-tracks.csv", [&](std::string_view text, const std::string& name) {
        // Tracks that were reconstructed have a column track_id instead.
        known_tracks = csv::has_column(text, name, "track");
        if (known_tracks) event.truth = parse_known_tracks(text, name, event.hits, index);
      });
    }
    // The numbers of known tracks are not those of the particles file.
    if (!known_tracks) {
      with_file("-particles.csv",
                [&](std::string_view text, const std::string& name) { event.particles = parse_particles(text, name); });
    }
  }
  if (options.cells) {
    with_file("-cells.csv",
              [&](std::string_view text, const std::string& name) { event.cells = parse_cells(text, name, index); });
  }
  return event;
}

std::vector<fs::path> find_events(const fs::path& path) {
  if (path.has_filename() && files::find(appended(path, kHitsEnd))) return {path};
  std::error_code error;
  if (const fs::path prefix = prefix_of_hits(path); !prefix.empty() && !fs::is_directory(path, error)) {
    const std::optional<fs::path> read = files::find(appended(prefix, kHitsEnd));
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
