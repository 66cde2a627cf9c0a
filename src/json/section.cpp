#include "json/section.h"

#include <cstdint>

namespace starling::json {

using Json = nlohmann::json;

std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace); }

Section::Section(const std::string& text, std::string where) : where_(std::move(where)) {
  content_ = Json::parse(text, nullptr, false);
  if (!content_.is_object()) refuse("is not a JSON object");
}

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
