#include "starling/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "config/spelling.h"
#include "files/files.h"
#include "numbers/numbers.h"
#include "starling/error.h"

namespace starling {

namespace {

struct Contents {
  std::string name;
  toml::table values;
  toml::table resolved;
  std::set<std::string, std::less<>> known;
  std::map<std::string, std::string, std::less<>> assignments;  // from the command line: key, "key=value" as given
};

void print(const toml::node& value, std::string& out) {
  if (const auto* const number = value.as_floating_point()) {
    // toml++ prints 17 digits; these are the fewest that read back as the same number.
    const std::string digits = numbers::to_text(**number);
    out += digits;
    if (digits.find_first_of(".en") == std::string::npos) out += ".0";
  } else if (const toml::array* const array = value.as_array()) {
    out += '[';
    for (const toml::node& entry : *array) {
      if (&entry != &array->front()) out += ", ";
      print(entry, out);
    }
    out += ']';
  } else {
    std::ostringstream other;
    other << toml::node_view<const toml::node>(value);
    out += other.str();
  }
}

std::string text_of(const toml::node& node) {
  std::string text;
  print(node, text);
  return files::printable(text);
}

bool is_section(const toml::node& node) { return node.is_table() || node.is_array_of_tables(); }

// The assignment of the command line that made a value: of this key, of a section that the key is in, or, for a section
// that no file has, the first inside it.
const std::string* assignment_of(const Contents& state, std::string_view key, const toml::node& node) {
  for (std::string_view part = key; !part.empty();) {
    const auto found = state.assignments.find(part);
    if (found != state.assignments.end()) return &found->second;
    const std::size_t end = part.find_last_of(".[");
    part = part.substr(0, end == std::string_view::npos ? 0 : end);
  }
  if (node.source().begin.line != 0) return nullptr;
  const auto inside = state.assignments.lower_bound(std::string(key) + '.');
  return inside != state.assignments.end() && inside->first.starts_with(std::string(key) + '.') ? &inside->second
                                                                                                : nullptr;
}

// Where a key was set, and what to: "run.toml:12: training.epochs = 0", "run.toml:9: [training]".
std::string where(const Contents& state, std::string_view key, const toml::node& node) {
  const std::string* const assignment = assignment_of(state, key, node);
  std::string text = assignment != nullptr ? "--set " + files::printable(*assignment)
                                           : state.name + ":" + std::to_string(node.source().begin.line);
  if (is_section(node)) {
    if (assignment == nullptr)
      text += node.is_table() ? ": [" + std::string(key) + "]" : ": [[" + std::string(key) + "]]";
  } else if (assignment == nullptr || !assignment->starts_with(std::string(key) + '=')) {
    text += ": " + std::string(key) + " = " + text_of(node);
  }
  return text;
}

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::usage, message); }

[[noreturn]] void expected(const Contents& state, std::string_view key, const toml::node& node,
                           const std::string& what) {
  fail(where(state, key, node) + ": expected " + what);
}

constexpr int kDeepest = 32;  // levels of brackets, and parts of a key

std::string too_deep() { return "nested deeper than " + std::to_string(kDeepest) + " levels"; }

// Where the string that begins at `begin` ends: behind its quotes, or at the end of a line that it must not cross.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const std::string three(3, quote);
  const bool many_lines = text.substr(begin, 3) == three;
  for (std::size_t i = begin + (many_lines ? 3 : 1); i < text.size(); ++i) {
    if (many_lines ? text.substr(i, 3) == three : text[i] == quote) return i + (many_lines ? 3 : 1);
    if (!many_lines && text[i] == '\n') return i;
    if (text[i] == '\\' && quote == '"') ++i;
  }
  return text.size();
}

// The line, from 1, where brackets are nested too deep or a key has too many parts; 0 where none is. toml++, and all
// that walks its tables, recurses per level: so this reads brackets and dots outside strings and comments before it.
int line_too_deep(std::string_view text) {
  int depth = 0, parts = 1;
  std::size_t i = 0;
  while (i < text.size() && depth <= kDeepest && parts <= kDeepest) {
    const char c = text[i];
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (c == '"' || c == '\'') {
      i = end_of_string(text, i);
      continue;
    }
    if (c == '.') ++parts;
    if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) parts = 1;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && depth > 0) --depth;
    ++i;
  }
  if (depth <= kDeepest && parts <= kDeepest) return 0;
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(i), '\n'));
}

// The table that holds the last part of a dotted key, made where it is absent; nullptr where something else is in the
// way or, unless `append`, where an array has no such entry.
toml::table* table_of(toml::table& root, std::string_view key, bool append, std::string_view& last) {
  toml::table* table = &root;
  for (;;) {
    const auto dot = key.find('.');
    std::string_view part = key.substr(0, dot);
    if (dot == std::string_view::npos) {
      last = part;
      return part.empty() || part.find_first_of("[]") != part.npos ? nullptr : table;
    }
    key.remove_prefix(dot + 1);
    std::size_t index = 0;
    const auto bracket = part.find('[');
    if (bracket != std::string_view::npos) {
      const auto [end, error] = std::from_chars(part.data() + bracket + 1, part.data() + part.size(), index);
      if (error != std::errc() || end + 1 != part.data() + part.size() || *end != ']') return nullptr;
      part = part.substr(0, bracket);
    }
    if (part.empty()) return nullptr;
    if (bracket == std::string_view::npos) {
      table = table->insert(part, toml::table{}).first->second.as_table();
    } else {
      if (!append && !table->contains(part)) return nullptr;
      toml::array* const array = table->insert(part, toml::array{}).first->second.as_array();
      if (array == nullptr || index > array->size() || (index == array->size() && !append)) return nullptr;
      if (index == array->size()) array->push_back(toml::table{});
      table = array->get(index)->as_table();
    }
    if (table == nullptr) return nullptr;
  }
}

// Marks `key` as known and returns what the file or the command line says about it, or nullptr.
const toml::node* find(Contents& state, std::string_view key) {
  state.known.emplace(key);
  return toml::at_path(state.values, key).node();
}

template <class Value>
void settle(Contents& state, std::string_view key, Value&& value) {
  std::string_view last;
  toml::table* const table = table_of(state.resolved, key, true, last);
  if (table == nullptr) throw Error(ErrorKind::internal, "not a key of a configuration: " + std::string(key));
  table->insert_or_assign(last, std::forward<Value>(value));
}

double number(const Contents& state, std::string_view key, const toml::node& node, double low, double high) {
  const auto value = node.is_number() ? node.value<double>() : std::nullopt;
  if (!value || !std::isfinite(*value) || *value < low || *value > high)
    expected(state, key, node, numbers::range("a number", low, high));
  return *value;
}

// Of the known keys, or of the sections that they are in, the one that is spelt most like `key`; empty where none is.
std::string nearest_known(const Contents& state, const std::string& key, bool section) {
  std::string nearest;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const std::string& known : state.known) {
    const std::size_t dot = known.find_last_of('.');
    if (section && dot == std::string::npos) continue;
    const std::string candidate = section ? known.substr(0, dot) : known;
    if (const std::size_t distance = edit_distance(key, candidate); distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

[[noreturn]] void unknown(const Contents& state, const std::string& key, const toml::node& node) {
  for (const std::string& known : state.known) {
    if (known.starts_with(key + ".") || known.starts_with(key + "[")) expected(state, key, node, "a section");
  }
  const std::string nearest = nearest_known(state, key, is_section(node));
  fail(where(state, key, node) + ": unknown " + (is_section(node) ? "section" : "key") +
       ", expected one that is known" + (nearest.empty() ? "" : ", such as " + nearest));
}

void check_known(const Contents& state, const std::string& prefix, const toml::table& table) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    // A quoted key with a dot in it would look like a section's key, but no getter finds it.
    const bool plain = name.str().find_first_of(".[]") == std::string_view::npos;
    if (plain && state.known.contains(key) && !is_section(node)) continue;
    if (!plain || !is_section(node)) unknown(state, key, node);
    const std::string inside = key + (node.is_table() ? "." : "[");
    const auto first = state.known.lower_bound(inside);
    const bool known_inside = first != state.known.end() && first->starts_with(inside);
    if (!known_inside && !(node.is_array_of_tables() && state.known.contains(key))) unknown(state, key, node);
    if (const toml::table* const section = node.as_table()) check_known(state, key + ".", *section);
    if (const toml::array* const tables = node.as_array()) {
      for (std::size_t i = 0; i < tables->size(); ++i) {
        check_known(state, key + "[" + std::to_string(i) + "].", *tables->get(i)->as_table());
      }
    }
  }
}

// The values of a table and of those in it, each with its place in the file; those of the command line are behind it.
void collect(Contents& state, const std::string& section, const std::string& prefix, const toml::table& table,
             std::vector<std::pair<toml::source_position, Config::Entry>>& out) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const std::string whole = section + '.' + key;
    if (node.is_array_of_tables()) expected(state, whole, node, "a value, a list or a section");
    if (name.str().find_first_of(".[]") != std::string_view::npos) {
      fail(where(state, whole, node) + ": expected a key without quotes");
    }
    if (const toml::table* const inside = node.as_table()) {
      collect(state, section, key + '.', *inside, out);
      continue;
    }
    state.known.insert(whole);
    Config::Entry entry;
    entry.key = key;
    print(node, entry.value);
    if (const toml::array* const array = node.as_array()) {
      entry.is_list = true;
      for (const toml::node& one : *array) print(one, entry.values.emplace_back());
    }
    entry.where = where(state, whole, node);
    const bool in_file = assignment_of(state, whole, node) == nullptr;
    constexpr auto kBehind = std::numeric_limits<toml::source_index>::max();
    out.emplace_back(in_file ? node.source().begin : toml::source_position{kBehind, 0}, std::move(entry));
  }
}

// Values first: after a section's header they would belong to that section.
void print(const toml::table& table, const std::string& prefix, std::string& out) {
  for (const auto& [name, node] : table) {
    if (is_section(node)) continue;
    out += std::string(name.str()) + " = ";
    print(node, out);
    out += '\n';
  }
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    if (const toml::table* const section = node.as_table()) {
      out += "\n[" + key + "]\n";
      print(*section, key + ".", out);
    } else if (node.is_array_of_tables()) {
      for (const toml::node& entry : *node.as_array()) {
        out += "\n[[" + key + "]]\n";
        print(*entry.as_table(), key + ".", out);
      }
    }
  }
}

// Takes the values whose key `keep` refuses out of a table, and the sections that are empty then.
void leave(toml::table& table, const std::string& prefix, const std::function<bool(std::string_view)>& keep) {
  for (auto entry = table.begin(); entry != table.end();) {
    const std::string key = prefix + std::string(entry->first.str());
    bool empty = false;
    if (toml::table* const section = entry->second.as_table()) {
      leave(*section, key + ".", keep);
      empty = section->empty();
    } else if (entry->second.is_array_of_tables()) {
      toml::array& tables = *entry->second.as_array();
      for (std::size_t i = 0; i < tables.size(); ++i) {
        leave(*tables.get(i)->as_table(), key + "[" + std::to_string(i) + "].", keep);
      }
    } else {
      empty = !keep(key);
    }
    entry = empty ? table.erase(entry) : std::next(entry);
  }
}

}  // namespace

struct Config::State : Contents {};

Config::Config(std::unique_ptr<State> state) : state_(std::move(state)) {}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

Config::State& Config::state() const {
  if (state_ == nullptr) fail("a configuration that was moved from, expected one that holds a file");
  return *state_;
}

Config Config::load(const std::filesystem::path& file) {
  return parse(files::read(file, ErrorKind::usage).text(), file.string());
}

Config Config::parse(std::string_view text, std::string name) {
  auto state = std::make_unique<State>();
  if (const int line = line_too_deep(text); line != 0) fail(name + ":" + std::to_string(line) + ": " + too_deep());
  try {
    state->values = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    fail(name + ":" + std::to_string(error.source().begin.line) +
         ": not TOML: " + files::printable(error.description()));
  }
  state->name = std::move(name);
  return Config(std::move(state));
}

void Config::set(std::string_view assignment) {
  const std::string where = "--set " + files::printable(assignment) + ": ";
  const auto equals = assignment.find('=');
  if (equals == std::string_view::npos) fail(where + "expected section.key=value");
  const std::string key(assignment.substr(0, equals));
  const std::string_view value = assignment.substr(equals + 1);

  if (line_too_deep(key) != 0 || line_too_deep(value) != 0) fail(where + too_deep());

  toml::table parsed;
  try {
    parsed = toml::parse("value = " + std::string(value));
  } catch (const toml::parse_error&) {
    // A bare word; what was meant as a string, an array or a table must be one.
    if (value.find_first_of("\"'[]{}\n") == 0 || value.find('\n') != std::string_view::npos) {
      fail(where + "the value is not TOML");
    }
    parsed.clear();
    parsed.insert("value", std::string(value));
  }
  if (parsed.size() != 1) fail(where + "expected one value");

  std::string_view last;
  toml::table* const table = table_of(state().values, key, false, last);
  if (table == nullptr) fail(where + "there is no place for the key " + files::printable(key));
  table->insert_or_assign(last, std::move(*parsed.get("value")));
  state().assignments.insert_or_assign(key, std::string(assignment));
}

void Config::get(std::string_view key, bool& value) {
  if (const toml::node* const node = find(state(), key)) {
    if (!node->is_boolean()) expected(state(), key, *node, "true or false");
    value = **node->as_boolean();
  }
  settle(state(), key, value);
}

void Config::get(std::string_view key, int& value, int low, int high) {
  if (const toml::node* const node = find(state(), key)) {
    if (!node->is_integer() || **node->as_integer() < low || **node->as_integer() > high) {
      expected(state(), key, *node, numbers::range("an integer", low, high));
    }
    value = static_cast<int>(**node->as_integer());
  }
  settle(state(), key, std::int64_t{value});
}

void Config::get(std::string_view key, std::uint64_t& value) {
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (const toml::node* const node = find(state(), key)) {
    if (!node->is_integer() || **node->as_integer() < 0) expected(state(), key, *node, "an integer of at least 0");
    value = static_cast<std::uint64_t>(**node->as_integer());
  }
  if (value > kLargest) throw Error(ErrorKind::internal, std::string(key) + ": TOML has no integer this large");
  settle(state(), key, static_cast<std::int64_t>(value));
}

void Config::get(std::string_view key, double& value, double low, double high) {
  if (const toml::node* const node = find(state(), key)) value = number(state(), key, *node, low, high);
  settle(state(), key, value);
}

void Config::get(std::string_view key, float& value, double low, double high) {
  if (const toml::node* const node = find(state(), key)) {
    value = static_cast<float>(number(state(), key, *node, low, high));
  }
  // The shortest decimal that gives this float, not the digits of the double that it widens to.
  settle(state(), key, numbers::parse<double>(numbers::to_text(value)).value_or(value));
}

void Config::get(std::string_view key, Range& value, double low, double high) {
  if (const toml::node* const node = find(state(), key)) {
    if (const toml::array* const ends = node->as_array()) {
      const auto refuse = [&] {
        expected(state(), key, *node, "[lowest, highest], each " + numbers::range("a number", low, high));
      };
      if (ends->size() != 2) refuse();
      value = {number(state(), key, *ends->get(0), low, high), number(state(), key, *ends->get(1), low, high)};
      if (value.low > value.high) refuse();
    } else {
      value = number(state(), key, *node, low, high);
    }
  }
  if (value.low == value.high) {
    settle(state(), key, value.low);
  } else {
    settle(state(), key, toml::array{value.low, value.high});
  }
}

void Config::get(std::string_view key, std::string& value, const std::vector<std::string>& choices) {
  if (const toml::node* const node = find(state(), key)) {
    std::string what = "text";
    for (std::size_t i = 0; i < choices.size(); ++i) what = (i == 0 ? "one of " : what + ", ") + choices[i];
    if (!node->is_string()) expected(state(), key, *node, what);
    const std::string& text = **node->as_string();
    if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
      expected(state(), key, *node, what);
    }
    value = text;
  }
  settle(state(), key, value);
}

void Config::get(std::string_view key, std::vector<double>& value, double low, double high) {
  if (const toml::node* const node = find(state(), key)) {
    if (!node->is_array()) expected(state(), key, *node, numbers::range("an array, each entry a number", low, high));
    value.clear();
    for (const toml::node& entry : *node->as_array()) value.push_back(number(state(), key, entry, low, high));
  }
  toml::array array;
  for (const double entry : value) array.push_back(entry);
  settle(state(), key, std::move(array));
}

void Config::get(std::string_view key, std::vector<std::string>& value) {
  if (const toml::node* const node = find(state(), key)) {
    if (!node->is_array()) expected(state(), key, *node, "an array of texts");
    value.clear();
    for (const toml::node& entry : *node->as_array()) {
      if (!entry.is_string()) expected(state(), key, entry, "an array of texts");
      value.push_back(**entry.as_string());
    }
  }
  toml::array array;
  for (const std::string& entry : value) array.push_back(entry);
  settle(state(), key, std::move(array));
}

int Config::table_count(std::string_view key) const {
  const toml::node* const node = find(state(), key);
  if (node == nullptr) return 0;
  const toml::array* const array = node->as_array();
  if (array == nullptr || (!array->empty() && !array->is_array_of_tables())) {
    expected(state(), key, *node, "sections [[" + std::string(key) + "]]");
  }
  return static_cast<int>(array->size());
}

std::vector<Config::Entry> Config::entries(std::string_view section) {
  const toml::node* const node = toml::at_path(state().values, section).node();
  if (node == nullptr) return {};
  const toml::table* const table = node->as_table();
  if (table == nullptr) expected(state(), section, *node, "a section");
  std::vector<std::pair<toml::source_position, Entry>> found;
  collect(state(), std::string(section), "", *table, found);
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& one, const auto& other) { return one.first < other.first; });
  std::vector<Entry> result;
  for (auto& [position, entry] : found) result.push_back(std::move(entry));
  return result;
}

bool Config::has_section(std::string_view section) const {
  const toml::node* const node = state().values.get(section);
  return node != nullptr && is_section(*node);
}

bool Config::has(std::string_view key) const { return toml::at_path(state().values, key).node() != nullptr; }

void Config::leave_to_others(std::string_view section) {
  toml::node* const node = state().values.get(section);
  if (node != nullptr && is_section(*node)) state().values.erase(section);
}

void Config::finish() const { check_known(state(), "", state().values); }

std::string Config::resolved() const {
  std::string text;
  print(state().resolved, "", text);
  return text;
}

const std::string& Config::name() const { return state().name; }

std::string select_keys(std::string_view resolved, const std::function<bool(std::string_view)>& keep) {
  if (const int line = line_too_deep(resolved); line != 0) {
    fail("resolved configuration, line " + std::to_string(line) + ": " + too_deep());
  }
  toml::table values;
  try {
    values = toml::parse(resolved);
  } catch (const toml::parse_error& error) {
    fail("resolved configuration, line " + std::to_string(error.source().begin.line) +
         ": not TOML: " + files::printable(error.description()));
  }
  leave(values, "", keep);
  std::string text;
  print(values, "", text);
  return text;
}

}  // namespace starling
