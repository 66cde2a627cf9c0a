#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/files.h"
#include "table/csv.h"

/// An event is several CSV files with one prefix, its parts: `<prefix>-hits.csv`, `<prefix>-truth.csv`, … The last of a
/// list of parts makes the event: where it is, the event is whole.
namespace starling {

/// `<prefix><end>`.
std::filesystem::path part_file(const std::filesystem::path& prefix, std::string_view end);

/// A part as read from `name`, the plain or the gzipped file.
struct PartContent {
  std::string name;
  files::Bytes bytes;
  std::string_view text() const { return bytes.text(); }
};

/// `<prefix><end>` or, where there is no plain file, the same with .gz, unpacked; nothing where neither is there.
/// Throws ErrorKind::input.
std::optional<PartContent> read_part(const std::filesystem::path& prefix, std::string_view end,
                                     std::size_t max_unpacked_bytes);

/// Throws ErrorKind::input where there is no such part.
PartContent read_required_part(const std::filesystem::path& prefix, std::string_view end,
                               std::size_t max_unpacked_bytes);

/// A part that may be written: the end of its file's name, and all columns that it may have, in order.
struct Part {
  std::string_view end;
  std::vector<std::string_view> columns;
  /// The columns do not tell who wrote it: it is replaced by a new one where that is written, but never removed.
  bool keep = false;
};

/// What is written to a part.
struct PartOutput {
  std::string_view end;
  std::vector<csv::Source> columns;
};

/// Throws ErrorKind::usage unless `name` can begin a file's name; the message begins with `caller`.
void check_part_name(const char* caller, const std::string& name);

/// Makes sure that write_parts replaces or removes what it wrote itself only: files with no other columns than theirs,
/// in that order, and with every part and column of the new ones. Throws ErrorKind::usage.
void check_parts_place(const std::filesystem::path& prefix, std::span<const Part> parts,
                       std::span<const PartOutput> outputs);

/// Writes the outputs, in the order of the parts, beside their places, then removes the parts of an earlier event, the
/// last first, then renames: so a program that ends in between leaves no mixture of the two.
void write_parts(const std::filesystem::path& prefix, std::span<const Part> parts, std::span<const PartOutput> outputs);

}  // namespace starling
