#include "calorimeter_map/records.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "json/section.h"
#include "numbers/numbers.h"
#include "starling/error.h"

namespace starling {
namespace {

using Json = nlohmann::json;

// Integers of 64 bits, also as a float without a fraction (up to 2^53) or as a text of digits.
std::optional<std::int64_t> integer_of(const Json& value) {
  constexpr double kExact = 9007199254740992.0;
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_string()) return numbers::parse<std::int64_t>(value.get_ref<const std::string&>());
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (!(std::abs(number) <= kExact) || number != std::trunc(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

template <class Number>
std::optional<Number> number_of(const Json& value, const csv::Column& column) {
  if constexpr (std::is_floating_point_v<Number>) {
    if (!value.is_number()) return std::nullopt;
    const auto number = static_cast<Number>(value.get<double>());
    return std::isfinite(number) ? std::optional(number) : std::nullopt;
  } else {
    if (value.is_null() && column.missing) return static_cast<Number>(*column.missing);
    const std::optional<std::int64_t> number = integer_of(value);
    if (!number || *number < column.least || *number < std::numeric_limits<Number>::min() ||
        *number > std::numeric_limits<Number>::max()) {
      return std::nullopt;
    }
    return static_cast<Number>(*number);
  }
}

template <class Number>
std::string expected(const csv::Column& column) {
  if (std::is_floating_point_v<Number>) return "a finite number that a float can hold";
  std::string text = sizeof(Number) == 8 ? "an integer of 64 bits" : "an integer of 32 bits";
  if (column.least > std::numeric_limits<std::int64_t>::min()) text += ", at least " + std::to_string(column.least);
  return text;
}

std::string printed(const Json& value) {
  return files::printable(value.dump(-1, ' ', true, Json::error_handler_t::replace));
}

}  // namespace

Records::Records(std::string_view text, std::string file, bool json, std::string path)
    : text_(text), file_(std::move(file)), path_(std::move(path)), json_(json) {}

std::int32_t Records::read(std::span<const csv::Column> columns) const {
  return json_ ? read_json(columns) : csv::read(text_, file_, columns);
}

void Records::fail(std::int32_t row, const std::string& what) const {
  if (!json_) csv::fail_at_row(text_, file_, row, what);
  throw Error(ErrorKind::input, file_ + ": " + path_ + "[" + std::to_string(row) + "]: " + what);
}

std::int32_t Records::read_json(std::span<const csv::Column> columns) const {
  const auto fail_file = [&](const std::string& what) { throw Error(ErrorKind::input, file_ + ": " + what); };
  json::check_depth(text_, file_ + ":");
  const Json content = Json::parse(text_, nullptr, false);
  if (content.is_discarded()) fail_file("is not JSON");
  const Json* records = &content;
  for (std::string_view rest = path_; !rest.empty();) {
    const std::string key(rest.substr(0, rest.find('.')));
    rest.remove_prefix(std::min(rest.size(), key.size() + 1));
    if (!records->is_object() || !records->contains(key)) fail_file("no key " + key + " on the way to " + path_);
    records = &records->at(key);
  }
  if (!records->is_array()) fail_file((path_.empty() ? "the content" : path_) + " is not an array of records");
  if (records->size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    fail_file("has " + std::to_string(records->size()) + " records, expected fewer than 2^31");
  }
  const auto count = static_cast<std::int32_t>(records->size());
  for (const csv::Column& column : columns) {
    const std::string name(column.name);
    std::visit(
        [&](auto into) {
          if constexpr (!std::is_same_v<decltype(into), std::monostate>) {
            using Number = typename std::remove_pointer_t<decltype(into)>::value_type;
            into->clear();
            for (std::int32_t row = 0; row < count; ++row) {
              const Json& record = (*records)[static_cast<std::size_t>(row)];
              if (!record.is_object()) fail(row, printed(record) + ": expected an object");
              const auto field = record.find(name);
              if (field == record.end()) fail(row, "no key " + name);
              const std::optional<Number> number = number_of<Number>(*field, column);
              if (!number) fail(row, name + " = " + printed(*field) + ": expected " + expected<Number>(column));
              into->push_back(*number);
            }
          }
        },
        column.into);
  }
  return count;
}

}  // namespace starling
