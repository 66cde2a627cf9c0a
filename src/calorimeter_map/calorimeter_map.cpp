#include "starling/calorimeter_map.h"

#include <algorithm>
#include <optional>
#include <set>
#include <system_error>

#include "calorimeter_map/mapped_event.h"
#include "files/files.h"
#include "starling/error.h"
#include "table/parts.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

// A name with at most one *: what stands before and behind it.
struct Pattern {
  std::string before, behind;
  bool star;

  explicit Pattern(const std::string& name) {
    const std::size_t place = name.find('*');
    star = place != std::string::npos;
    before = name.substr(0, place);
    behind = star ? name.substr(place + 1) : "";
  }
  // What * stands for in the name of a file, plain or gzipped, nothing where it is another name. Without * it is "".
  std::optional<std::string> match(std::string name) const {
    if (name.ends_with(".gz")) name.resize(name.size() - 3);
    const std::size_t fixed = before.size() + behind.size();
    if (!name.starts_with(before) || !name.ends_with(behind) || name.size() < fixed || name.starts_with("._")) {
      return std::nullopt;
    }
    if (!star && name.size() != fixed) return std::nullopt;
    if (star && before.empty() && name.size() == fixed) return std::nullopt;  // an event has a name
    return name.substr(before.size(), name.size() - fixed);
  }
};

// The file of this name for the event with this prefix.
fs::path file_of(const fs::path& prefix, const Pattern& hits, const std::string& name) {
  const Pattern pattern(name);
  if (!pattern.star) return prefix.parent_path() / name;
  const std::string stands_for = prefix.filename().string().substr(hits.before.size());
  return prefix.parent_path() / (pattern.before + stands_for + pattern.behind);
}

fs::path prefix_of(const fs::path& folder, const Pattern& hits, const std::string& stands_for) {
  if (hits.star) return folder / (hits.before + stands_for);
  const fs::path whole = fs::absolute(folder / "x").lexically_normal().parent_path();
  return folder / (whole.has_filename() ? whole.filename() : fs::path("event"));
}

struct MappedFile {
  std::string name;
  files::Bytes bytes;
  Records records(const CalorimeterMap::Table& table) const {
    return {bytes.text(), name, table.file.ends_with(".json"), table.records};
  }
};

MappedFile read_file(const fs::path& file, std::size_t max_unpacked_bytes) {
  PartContent content = read_required_part(file, "", max_unpacked_bytes);
  return {std::move(content.name), std::move(content.bytes)};
}

}  // namespace

std::vector<fs::path> find_events(const fs::path& path, const CalorimeterMap& map) {
  const Pattern hits(map.hits.table.file);
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const std::optional<std::string> name = hits.match(path.filename().string());
    if (name && files::find(path.extension() == ".gz" ? fs::path(path).replace_extension() : path)) {
      return {prefix_of(path.parent_path(), hits, *name)};
    }
    throw Error(ErrorKind::input, path.string() + ": no event, expected a file " + map.hits.table.file +
                                      " or a folder of such, as " + map.name + " says");
  }
  std::set<fs::path> prefixes;
  fs::directory_iterator folder(path, error);
  for (; !error && folder != fs::directory_iterator(); folder.increment(error)) {
    if (const auto name = hits.match(folder->path().filename().string())) prefixes.insert(prefix_of(path, hits, *name));
  }
  if (error) throw Error(ErrorKind::input, path.string() + ": cannot be listed: " + error.message());
  if (prefixes.empty()) {
    throw Error(ErrorKind::input, path.string() + ": no event in this folder, expected " + map.hits.table.file +
                                      " as " + map.name + " says");
  }
  return {prefixes.begin(), prefixes.end()};
}

CalorimeterEvent read_calorimeter_event(const fs::path& prefix, const CalorimeterMap& map,
                                        const CalorimeterReadOptions& options) {
  const Pattern pattern(map.hits.table.file);
  const auto read = [&](const CalorimeterMap::Table& table) {
    return read_file(file_of(prefix, pattern, table.file), options.max_unpacked_bytes);
  };
  const MappedFile hits = read(map.hits.table);
  MappedTables tables{hits.records(map.hits.table), std::nullopt, std::nullopt};
  std::optional<MappedFile> truth, showers;
  if (options.truth && !map.truth.table.file.empty()) {
    truth = read(map.truth.table);
    tables.truth = truth->records(map.truth.table);
  }
  if (options.truth && !map.showers.table.file.empty()) {
    showers = read(map.showers.table);
    tables.showers = showers->records(map.showers.table);
  }
  CalorimeterEvent event = parse_mapped_event(tables, map, options.truth);
  event.name = prefix.filename().string();
  return event;
}

}  // namespace starling
