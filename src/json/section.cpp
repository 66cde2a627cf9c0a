#include "json/section.h"

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace starling::json {

using Json = nlohmann::json;

std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace); }

void check_depth(std::string_view text, const std::string& where, ErrorKind kind) {
  constexpr int kMostLevels = 64;
  int depth = 0;
  bool quotes = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quotes) {
      if (c == '\\') ++i;
      if (c == '"') quotes = false;
    } else if (c == '"') {
      quotes = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMostLevels) {
        throw Error(kind, where + " nests deeper than " + std::to_string(kMostLevels) + " levels");
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

Json parse_object(const std::string& text, const std::string& where, ErrorKind kind) {
  check_depth(text, where, kind);
  // Keys of each object or array that is open: a plain parse would take the last of two values.
  std::vector<std::set<std::string>> keys;
  const Json::parser_callback_t check = [&](int, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        keys.emplace_back();
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        keys.pop_back();
        break;
      case Json::parse_event_t::key:
        if (const auto key = value.get<std::string>(); !keys.back().insert(key).second) {
          throw Error(kind, where + ": key " + quoted(key) + " is there twice");
        }
        break;
      case Json::parse_event_t::value:
        break;
    }
    return true;
  };
  Json object = Json::parse(text, check, false);
  if (!object.is_object()) throw Error(kind, where + " is not a JSON object");
  return object;
}

Section::Section(const std::string& text, std::string where)
    : where_(std::move(where)), content_(parse_object(text, where_)) {}

int Section::integer(const char* key) {
  const auto accept = [](const Json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() <= 1'000'000'000;
  };
  return take(key, "a whole number", accept).get<int>();
}

bool Section::boolean(const char* key) {
  return take(key, "true or false", [](const Json& value) { return value.is_boolean(); }).get<bool>();
}

float Section::number(const char* key, double least, double most, const char* expected) {
  const auto accept = [&](const Json& value) {
    return value.is_number() && value.get<double>() >= least && value.get<double>() <= most;
  };
  return take(key, expected, accept).get<float>();
}

std::string Section::text(const char* key) {
  return take(key, "a text", [](const Json& value) { return value.is_string(); }).get<std::string>();
}

void Section::end() const {
  if (!content_.empty()) refuse("unknown key " + quoted(content_.begin().key()));
}

void Section::refuse(const std::string& what) const { throw Error(ErrorKind::input, where_ + ": " + what); }

}  // namespace starling::json
