#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "files/files.h"

/// Comma-separated numbers under a header line, in and out.
///
/// In: columns by name, in any order, others ignored; LF or CRLF line ends, the last one optional; a byte order mark,
/// blank lines, spaces and double quotes around a field are allowed. Every row has as many fields as the header.
/// Numbers must fit their type; floats must be finite (one that is too small for a float is rounded).
namespace starling::csv {

/// A column to read: `into` is emptied, then takes one value per row. Several of these may name one column of the file;
/// each has an `into` of its own.
struct Column {
  std::string_view name;
  std::variant<std::monostate, std::vector<std::int64_t>*, std::vector<std::int32_t>*, std::vector<float>*> into;
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  ///< the smallest integer that is right
  bool required = true;                                           ///< else `into` stays empty where it is absent
  /// For int64 columns of ids as other tools write them: what an empty field or nan is read as. Then an integer may
  /// also be written as a float ("12.0", up to 2^53).
  std::optional<std::int64_t> missing = std::nullopt;
};

/// Reads `text` and returns the number of rows; `name` stands for the file in messages. Throws ErrorKind::input naming
/// line, column, value and what was expected.
std::int32_t read(std::string_view text, const std::string& name, std::span<const Column> columns);

/// Whether the header names this column.
bool has_column(std::string_view text, const std::string& name, std::string_view column);

/// Throws ErrorKind::input for row `row` (0-based; −1 = the header) of a text that was read: "<name>:<line>: <what>".
[[noreturn]] void fail_at_row(std::string_view text, const std::string& name, std::int32_t row,
                              const std::string& what);

/// A column to write. Texts are written as they are: they hold no comma, quote or line end.
struct Source {
  std::string_view name;
  std::variant<std::span<const std::int64_t>, std::span<const std::int32_t>, std::span<const float>,
               std::span<const std::string>>
      from;
};

/// Writes columns of one length, with the fewest digits that read back as the same numbers. Throws ErrorKind::usage,
/// naming `name`, for a column of another length and for a number that is not finite.
void write(files::Writer& file, const std::string& name, std::span<const Source> columns);

}  // namespace starling::csv
