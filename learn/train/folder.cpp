#include "learn/train/folder.h"

#include <algorithm>
#include <sstream>
#include <string_view>

#include "files/files.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

// The lines of all keys but some, each with its section.
std::vector<std::string> lines(const std::string& configuration, const std::vector<std::string>& ignored) {
  std::istringstream text(select_keys(configuration, [&](std::string_view key) {
    return std::find(ignored.begin(), ignored.end(), key) == ignored.end();
  }));
  std::vector<std::string> result;
  std::string section;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with('[')) {
      section = line + ' ';
    } else if (!line.empty()) {
      result.push_back(section + line);
    }
  }
  return result;
}

std::string_view key_of(std::string_view line) { return line.substr(0, line.find(" = ")); }

bool is_resolved(const std::filesystem::path& file) {
  try {
    const files::Bytes content = files::read(file);
    return select_keys(content.text(), [](std::string_view) { return true; }) == content.text();
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::optional<std::pair<std::string, std::string>> difference(const std::string& one, const std::string& other,
                                                              const std::vector<std::string>& ignored) {
  const auto one_lines = lines(one, ignored), other_lines = lines(other, ignored);
  const auto [a, b] = std::mismatch(one_lines.begin(), one_lines.end(), other_lines.begin(), other_lines.end());
  if (a == one_lines.end() && b == other_lines.end()) return std::nullopt;
  if (a == one_lines.end()) return std::pair("", *b);
  if (b == other_lines.end()) return std::pair(*a, "");
  if (key_of(*a) == key_of(*b)) return std::pair(*a, *b);
  // One has a key more here.
  const bool later = std::any_of(a, one_lines.end(), [&](const auto& line) { return key_of(line) == key_of(*b); });
  return later ? std::pair(*a, std::string()) : std::pair(std::string(), *b);
}

void check_same(const std::filesystem::path& file, const std::string& then, const std::string& now,
                const std::vector<std::string>& ignored) {
  const auto differ = difference(then, now, ignored);
  if (!differ) return;
  const auto& [before, after] = *differ;
  throw Error(ErrorKind::usage, file.string() + ": the run was started " +
                                    (before.empty() ? "without `" + after + "`"
                                                    : "with `" + before + "`, now it is " +
                                                          (after.empty() ? "without" : "`" + after + "`")) +
                                    ": expected the same, or another training.output");
}

void check_folder(const std::filesystem::path& folder, const RunFiles& files, bool resume) {
  std::error_code ignored;
  const auto is_there = [&](const std::string& name) { return std::filesystem::exists(folder / name, ignored); };
  if (!resume && is_there(files.checkpoint)) {
    throw Error(ErrorKind::usage, (folder / files.checkpoint).string() +
                                      ": a run is here already; go on with --resume, or choose another "
                                      "training.output");
  }
  if (is_there(files.configuration) && is_resolved(folder / files.configuration)) return;
  std::vector<std::string> names = files.others;
  names.insert(names.begin(), files.configuration);
  for (const std::string& name : names) {
    if (!is_there(name)) continue;
    throw Error(ErrorKind::usage,
                (folder / name).string() + ": is there and is not of an earlier run; choose another training.output");
  }
}

}  // namespace starling::learn
