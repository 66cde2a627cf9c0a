#include "sweep_grid.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr std::size_t kMostPoints = 10'000;
constexpr std::string_view kPoints = "points.";

[[noreturn]] void refuse(const Config::Entry& entry, const std::string& expected) {
  throw Error(ErrorKind::usage, entry.where + ": expected " + expected);
}

// The folder of a run is the sweep's choice.
void check_key(const Config::Entry& entry, std::string_view key) {
  if (key == "training.output") refuse(entry, "another key: each run of a sweep has a folder of its own");
}

// A value in the name of a folder: its quotes are left out, and what a shell would take amiss.
std::string plain(std::string_view value) {
  constexpr std::string_view kKept = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
  std::string text;
  for (const char c : value) {
    if (c == '"' || c == '\'' || c == ' ' || c == '[' || c == ']') continue;
    text += kKept.find(c) != std::string_view::npos ? c : '_';
  }
  return text;
}

// "hidden" for network.hidden, or the whole key where another one ends like it.
std::string short_name(const std::string& key, const std::vector<std::string>& keys) {
  const std::string last = key.substr(key.rfind('.') + 1);
  const auto ends_alike = [&](const std::string& other) { return other.substr(other.rfind('.') + 1) == last; };
  return std::count_if(keys.begin(), keys.end(), ends_alike) > 1 ? key : last;
}

std::string name_of(const SweepPoint& point, const std::vector<std::string>& keys) {
  std::string name;
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (point.values[k].empty()) continue;
    if (!name.empty()) name += ',';
    name += short_name(keys[k], keys) + '=' + plain(point.values[k]);
  }
  return name;
}

std::size_t column(SweepGrid& grid, const std::string& key) {
  const auto found = std::find(grid.keys.begin(), grid.keys.end(), key);
  if (found != grid.keys.end()) return static_cast<std::size_t>(found - grid.keys.begin());
  grid.keys.push_back(key);
  return grid.keys.size() - 1;
}

// The product of the lists.
void add_grid(SweepGrid& grid, const std::vector<Config::Entry>& lists) {
  if (lists.empty()) return;
  std::size_t count = 1;
  for (const Config::Entry& list : lists) {
    count *= list.values.size();
    if (count > kMostPoints) refuse(list, "at most " + std::to_string(kMostPoints) + " points in all");
    grid.keys.push_back(list.key);
  }
  for (std::size_t i = 0; i < count; ++i) {
    SweepPoint point;
    point.values.resize(lists.size());
    std::size_t rest = i;
    for (std::size_t k = lists.size(); k-- > 0;) {
      point.values[k] = lists[k].values[rest % lists[k].values.size()];
      rest /= lists[k].values.size();
    }
    grid.points.push_back(std::move(point));
  }
}

// "points.small.network.hidden": the point `small` has this value of network.hidden.
void add_alone(SweepGrid& grid, const Config::Entry& entry) {
  const std::string_view rest = std::string_view(entry.key).substr(kPoints.size());
  const std::size_t dot = rest.find('.');
  if (dot == std::string_view::npos) refuse(entry, "a section [sweep.points.NAME] with keys of the configuration");
  const std::string name(rest.substr(0, dot)), key(rest.substr(dot + 1));
  if (plain(name) != name) refuse(entry, "a name of letters, digits, _ and -");
  check_key(entry, key);
  const std::size_t at = column(grid, key);
  const auto named = [&](const SweepPoint& point) { return point.name == name; };
  if (std::none_of(grid.points.begin(), grid.points.end(), named)) grid.points.push_back({name, {}});
  SweepPoint& point = *std::find_if(grid.points.begin(), grid.points.end(), named);
  point.values.resize(std::max(point.values.size(), at + 1));
  point.values[at] = entry.value;
}

}  // namespace

std::vector<std::string> SweepPoint::assignments(const std::vector<std::string>& keys) const {
  std::vector<std::string> result;
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (!values[k].empty()) result.push_back(keys[k] + '=' + values[k]);
  }
  return result;
}

SweepGrid read_sweep_grid(Config& config) {
  const std::vector<Config::Entry> entries = config.entries("sweep");
  std::vector<Config::Entry> lists, alone;
  for (const Config::Entry& entry : entries) {
    if (entry.key.starts_with(kPoints)) {
      alone.push_back(entry);
      continue;
    }
    check_key(entry, entry.key);
    if (!entry.is_list || entry.values.empty()) refuse(entry, "a list of values, one at least");
    std::set<std::string> seen;
    for (const std::string& value : entry.values) {
      if (!seen.insert(value).second) refuse(entry, "each value once, and " + value + " is there twice");
    }
    lists.push_back(entry);
  }
  SweepGrid grid;
  add_grid(grid, lists);
  for (const Config::Entry& entry : alone) add_alone(grid, entry);
  if (grid.points.empty()) {
    throw Error(ErrorKind::usage, config.name() +
                                      ": expected a section [sweep] with lists of values, such as "
                                      "network.hidden = [16, 32]");
  }
  for (SweepPoint& point : grid.points) {
    point.values.resize(grid.keys.size());
    if (point.name.empty()) point.name = name_of(point, grid.keys);
  }
  return grid;
}

}  // namespace starling::cli
