#include "table/csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace starling::csv {
namespace {

[[noreturn]] void fail(const std::string& name, std::int64_t line, const std::string& what) {
  throw Error(ErrorKind::input, name + ":" + std::to_string(line) + ": " + what);
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The lines of a text without their ends; blank ones are left out.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  }

  bool next() {
    while (!rest_.empty()) {
      ++number_;
      const std::size_t length = std::min(rest_.find('\n'), rest_.size());
      line_ = rest_.substr(0, length);
      rest_.remove_prefix(std::min(rest_.size(), length + 1));
      if (line_.ends_with('\r')) line_.remove_suffix(1);
      if (!std::all_of(line_.begin(), line_.end(), is_blank)) return true;
    }
    return false;
  }

  std::string_view line() const { return line_; }
  std::string_view rest() const { return rest_; }
  std::int64_t number() const { return number_; }  // from 1

 private:
  std::string_view line_, rest_;
  std::int64_t number_ = 0;
};

// The field at `at`, trimmed and without its quotes, on a line that ends at `end`; moves `at` behind the comma, to
// nullptr where there is none.
std::string_view take_field(const char*& at, const char* end, const std::string& name, std::int64_t number) {
  const std::string_view line(at, static_cast<std::size_t>(end - at));
  const std::size_t start = std::min(line.find_first_not_of(" \t"), line.size());
  std::size_t comma = 0;
  std::string_view field;
  if (start < line.size() && line[start] == '"') {
    const std::size_t quote = line.find('"', start + 1);
    if (quote == std::string_view::npos) fail(name, number, "a quoted field does not end on its line");
    field = line.substr(start + 1, quote - start - 1);
    comma = std::min(line.find_first_not_of(" \t", quote + 1), line.size());
    if (comma < line.size() && line[comma] != ',') fail(name, number, "expected a comma behind a quoted field");
  } else {
    comma = std::min(line.find(',', start), line.size());
    field = line.substr(start, comma - start);
  }
  at = comma < line.size() ? at + comma + 1 : nullptr;
  return trimmed(field);
}

std::vector<std::string_view> fields_of(std::string_view line, const std::string& name, std::int64_t number) {
  std::vector<std::string_view> fields;
  const char* const end = line.data() + line.size();
  for (const char* at = line.data(); at != nullptr;) fields.push_back(take_field(at, end, name, number));
  return fields;
}

// Parses a number at the start of [p, end) and moves p behind it; false where there is none that is right.
template <class Number>
bool parse(const char*& p, const char* end, std::int64_t least, Number& value) {
  const auto [stop, error] = std::from_chars(p, end, value);
  if constexpr (std::is_same_v<Number, float>) {
    if (error == std::errc::result_out_of_range) {
      // from_chars treats numbers that are too small for a float, which round, like those that are too large.
      double wide = 0;
      if (std::from_chars(p, stop, wide).ec != std::errc() || std::abs(wide) > 1) return false;
      value = static_cast<float>(wide);
    } else if (error != std::errc() || !std::isfinite(value)) {
      return false;
    }
  } else {
    if (error != std::errc() || value < least) return false;
  }
  p = stop;
  return true;
}

template <class Number>
[[noreturn]] void fail_number(std::string_view field, const Column& column, const std::string& name,
                              std::int64_t line) {
  std::string expected = "a finite number that a float can hold";
  if constexpr (std::is_integral_v<Number>) {
    expected = sizeof(Number) == 8 ? "an integer of 64 bits" : "an integer of 32 bits";
    if (column.least > std::numeric_limits<std::int64_t>::min()) {
      expected.append(", at least ").append(std::to_string(column.least));
    }
    if (column.missing) expected.append(", or nan for none");
  }
  fail(name, line,
       std::string(column.name) + " = " + (field.empty() ? "nothing" : files::printable(field)) + ": expected " +
           expected);
}

// A field of an id column that other tools wrote: nan or nothing for none, an integer as a float ("12.0"). Beyond 2^53
// a double no longer tells integers apart.
bool parse_loose_id(std::string_view field, const Column& column, std::int64_t& value) {
  constexpr double kExact = 9007199254740992.0;
  if (field.empty() || field == "nan" || field == "NaN" || field == "NAN") {
    value = *column.missing;
    return true;
  }
  double wide = 0;
  const auto [stop, error] = std::from_chars(field.data(), field.data() + field.size(), wide);
  if (error != std::errc() || stop != field.data() + field.size()) return false;
  if (!(std::abs(wide) <= kExact) || wide != std::trunc(wide)) return false;
  value = static_cast<std::int64_t>(wide);
  return value >= column.least;
}

// The number in the field at `at`, on a line that ends at `end`; moves `at` as take_field() does.
template <class Number>
Number take_number(const char*& at, const char* end, const Column& column, const std::string& name,
                   std::int64_t number) {
  Number value = 0;
  const char* p = at;
  if (parse(p, end, column.least, value) && (p == end || *p == ',')) {
    at = p == end ? nullptr : p + 1;
    return value;
  }
  // Blanks, quotes, a plus sign or an error.
  const std::string_view field = take_field(at, end, name, number);
  const bool plus = field.size() > 1 && field[0] == '+' && field[1] != '-';
  p = field.data() + plus;
  if (parse(p, field.data() + field.size(), column.least, value) && p == field.data() + field.size()) return value;
  if constexpr (std::is_same_v<Number, std::int64_t>) {
    if (column.missing && parse_loose_id(field, column, value)) return value;
  }
  fail_number<Number>(field, column, name, number);
}

std::string joined(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text.append(text.empty() ? "" : ",").append(name);
  return text;
}

// For each field of the header, the columns that it goes to; ignored ones go nowhere.
std::vector<std::vector<Column>> layout(const Lines& lines, const std::string& name, std::span<const Column> columns) {
  const std::vector<std::string_view> names = fields_of(lines.line(), name, lines.number());
  std::vector<std::vector<Column>> result(names.size());
  for (const Column& column : columns) {
    const auto place = std::find(names.begin(), names.end(), column.name);
    if (place == names.end()) {
      if (!column.required) continue;
      fail(name, lines.number(),
           "no column " + std::string(column.name) + " among '" + files::printable(joined(names)) + "'");
    }
    if (std::find(place + 1, names.end(), column.name) != names.end()) {
      fail(name, lines.number(), "column " + std::string(column.name) + ": expected once, appears again");
    }
    result[static_cast<std::size_t>(place - names.begin())].push_back(column);
  }
  return result;
}

std::string names_of(std::span<const Column> columns) {
  std::vector<std::string_view> names;
  for (const Column& column : columns) names.push_back(column.name);
  return joined(names);
}

}  // namespace

std::int32_t read(std::string_view text, const std::string& name, std::span<const Column> columns) {
  Lines lines(text);
  if (!lines.next()) throw Error(ErrorKind::input, name + ": is empty, expected the columns " + names_of(columns));
  const std::vector<std::vector<Column>> fields = layout(lines, name, columns);

  // Memory for all rows at once, bounded by what the text can hold: blank lines are not rows.
  const std::string_view body = lines.rest();
  const auto ends = static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n'));
  const std::size_t most = std::min(ends + 1, body.size() / (fields.size() + 1) + 1);
  const auto for_vector = [](const Column& column, const auto& action) {
    std::visit(
        [&](auto into) {
          if constexpr (!std::is_same_v<decltype(into), std::monostate>) action(*into);
        },
        column.into);
  };
  for (const Column& column : columns) for_vector(column, [](auto& into) { into.clear(); });
  for (const std::vector<Column>& field : fields) {
    for (const Column& column : field) for_vector(column, [&](auto& into) { into.reserve(most); });
  }

  std::int64_t rows = 0;
  for (; lines.next(); ++rows) {
    const char* at = lines.line().data();
    const char* const end = at + lines.line().size();
    std::size_t count = 0;
    for (; count < fields.size() && at != nullptr; ++count) {
      const std::vector<Column>& field = fields[count];
      const char* next = at;
      if (field.empty()) take_field(next, end, name, lines.number());
      for (const Column& column : field) {
        next = at;
        for_vector(column, [&](auto& into) {
          using Number = typename std::remove_reference_t<decltype(into)>::value_type;
          into.push_back(take_number<Number>(next, end, column, name, lines.number()));
        });
      }
      at = next;
    }
    if (at != nullptr || count < fields.size()) {
      fail(name, lines.number(),
           "the row has " + std::to_string(fields_of(lines.line(), name, lines.number()).size()) +
               " fields, expected " + std::to_string(fields.size()));
    }
  }
  if (rows > std::numeric_limits<std::int32_t>::max()) {
    throw Error(ErrorKind::input, name + ": has " + std::to_string(rows) + " rows, expected fewer than 2^31");
  }
  return static_cast<std::int32_t>(rows);
}

bool has_column(std::string_view text, const std::string& name, std::string_view column) {
  Lines lines(text);
  if (!lines.next()) return false;
  const std::vector<std::string_view> names = fields_of(lines.line(), name, lines.number());
  return std::find(names.begin(), names.end(), column) != names.end();
}

void fail_at_row(std::string_view text, const std::string& name, std::int32_t row, const std::string& what) {
  Lines lines(text);
  for (std::int32_t i = -1; i <= row; ++i) lines.next();
  fail(name, lines.number(), what);
}

void write(files::Writer& file, const std::string& name, std::span<const Source> columns) {
  std::size_t longest = 24;                             // int64: 20; float: 15
  constexpr std::size_t kPiece = std::size_t{1} << 18;  // stays in the cache
  const auto length = [](const auto& from) { return from.size(); };
  const std::size_t rows = std::visit(length, columns.front().from);
  std::string text;
  for (const Source& column : columns) {
    const std::size_t other = std::visit(length, column.from);
    if (other != rows) {
      throw Error(ErrorKind::usage, name + ": " + std::string(column.name) + " has " + std::to_string(other) +
                                        " entries, expected " + std::to_string(rows));
    }
    if (const auto* const texts = std::get_if<std::span<const std::string>>(&column.from)) {
      for (const std::string& value : *texts) longest = std::max(longest, value.size());
    }
    text.append(text.empty() ? "" : ",").append(column.name);
  }
  text += '\n';
  file.write(text);

  text.resize(kPiece + columns.size() * (longest + 1));
  char* p = text.data();
  for (std::size_t row = 0; row < rows; ++row) {
    for (const Source& column : columns) {
      std::visit(
          [&](const auto& from) {
            const auto& value = from[row];
            using Value = std::remove_cvref_t<decltype(value)>;
            if constexpr (std::is_floating_point_v<Value>) {
              if (!std::isfinite(value)) {
                throw Error(ErrorKind::usage, name + ": " + std::string(column.name) + "[" + std::to_string(row) +
                                                  "] = " + std::to_string(value) + ": expected a finite number");
              }
            }
            if constexpr (std::is_same_v<Value, std::string>) {
              p = std::copy(value.begin(), value.end(), p);
            } else {
              p = std::to_chars(p, p + longest, value).ptr;
            }
          },
          column.from);
      *p++ = ',';
    }
    p[-1] = '\n';
    if (const auto used = static_cast<std::size_t>(p - text.data()); used >= kPiece || row + 1 == rows) {
      file.write({text.data(), used});
      p = text.data();
    }
  }
}

}  // namespace starling::csv
