#include "table/parts.h"

#include <algorithm>
#include <deque>
#include <system_error>

#include "starling/error.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(file, ignored));
}

const PartOutput* output_of(std::span<const PartOutput> outputs, const Part& part) {
  const auto found =
      std::find_if(outputs.begin(), outputs.end(), [&](const PartOutput& one) { return one.end == part.end; });
  return found == outputs.end() ? nullptr : &*found;
}

// Whether a file with this header may be an earlier result that the new columns replace: it names columns of the part
// only, in their order, and all of the new ones.
bool may_be_ours(std::string_view head, const Part& part, const PartOutput* replacing) {
  const std::size_t expected = replacing == nullptr ? 0 : replacing->columns.size();
  std::string_view header = head.substr(0, head.find('\n'));
  std::size_t known = 0, replaced = 0;
  for (bool more = true; more;) {
    const std::size_t comma = header.find(',');
    const std::string_view column = header.substr(0, comma);
    more = comma != std::string_view::npos;
    header.remove_prefix(more ? comma + 1 : header.size());
    while (known < part.columns.size() && part.columns[known] != column) ++known;
    if (known++ == part.columns.size()) return false;
    replaced += replaced < expected && replacing->columns[replaced].name == column;
  }
  return replaced == expected;
}

void remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error) throw Error(ErrorKind::usage, file.string() + ": cannot be removed: " + error.message());
}

}  // namespace

fs::path part_file(const fs::path& prefix, std::string_view end) {
  fs::path file = prefix;
  file += end;
  return file;
}

std::optional<PartContent> read_part(const fs::path& prefix, std::string_view end, std::size_t max_unpacked_bytes) {
  const std::optional<fs::path> file = files::find(part_file(prefix, end));
  if (!file) return std::nullopt;
  return PartContent{file->string(), files::read_unpacked(*file, max_unpacked_bytes)};
}

PartContent read_required_part(const fs::path& prefix, std::string_view end, std::size_t max_unpacked_bytes) {
  if (std::optional<PartContent> content = read_part(prefix, end, max_unpacked_bytes)) return std::move(*content);
  throw Error(ErrorKind::input, part_file(prefix, end).string() + ": no such file, expected it or the same with .gz");
}

void check_part_name(const char* caller, const std::string& name) {
  if (!name.empty() && name.find('/') == std::string::npos) return;
  throw Error(ErrorKind::usage, std::string(caller) + ": the event is named '" + files::printable(name) +
                                    "', expected the beginning of a file's name");
}

void check_parts_place(const fs::path& prefix, std::span<const Part> parts, std::span<const PartOutput> outputs) {
  const fs::path last = part_file(prefix, parts.back().end);
  const bool replaces = is_there(last);
  for (const Part& part : parts) {
    const PartOutput* const output = output_of(outputs, part);
    const fs::path file = part_file(prefix, part.end);
    files::check_place(file, [&](std::string_view head) { return may_be_ours(head, part, output); });
    if (part.keep && output == nullptr && is_there(file)) {
      const std::string kind(part.end.substr(1, part.end.find('.') - 1));
      throw Error(ErrorKind::usage,
                  file.string() + ": is there and the new event has no " + kind + "; expected another folder");
    }
    if (replaces && output != nullptr && !is_there(file)) {
      throw Error(ErrorKind::usage, last.string() + ": is there without " + file.filename().string() +
                                        ", so it is not an earlier result of Starling; expected another folder");
    }
  }
}

void write_parts(const fs::path& prefix, std::span<const Part> parts, std::span<const PartOutput> outputs) {
  std::deque<files::Writer> writers;
  for (const PartOutput& output : outputs) {
    const fs::path file = part_file(prefix, output.end);
    csv::write(writers.emplace_back(file, files::Durable::no), file.string(), output.columns);
  }
  // What was there goes first, the last part before all others: from here to the end there is no event.
  remove_file(part_file(prefix, parts.back().end));
  for (const Part& part : parts) {
    if (output_of(outputs, part) == nullptr) remove_file(part_file(prefix, part.end));
  }
  for (files::Writer& writer : writers) writer.commit();
}

}  // namespace starling
