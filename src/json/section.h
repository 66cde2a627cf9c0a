#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "starling/error.h"

/// JSON objects of model files, read strictly: every key once, no key unknown.
namespace starling::json {

/// Any text as a JSON string of ASCII: fit for one line of a message.
std::string quoted(const std::string& text);

/// Throws `kind`, with a message that starts with `where`, for text that nests deeper than 64 levels: copies and dumps
/// of a parsed value recurse, one call per level.
void check_depth(std::string_view text, const std::string& where, ErrorKind kind = ErrorKind::input);

/// A JSON object. Throws `kind`, with a message that starts with `where`, for text that is none or nests deeper than
/// check_depth allows, and for a key that is there twice in it or in an object inside it.
nlohmann::json parse_object(const std::string& text, const std::string& where, ErrorKind kind = ErrorKind::input);

/// One JSON object whose keys are taken one by one; what is left at the end is unknown. Every error is
/// ErrorKind::input and starts with `where`, which names the file and the object.
class Section {
 public:
  Section(const std::string& text, std::string where);

  /// The value of `key`, which `accept` must let through; `expected` says what that is.
  template <typename Accept>
  nlohmann::json take(const char* key, const char* expected, const Accept& accept) {
    const auto found = content_.find(key);
    if (found == content_.end()) refuse(std::string(key) + " is missing");
    nlohmann::json value = *found;
    if (!accept(value)) {
      refuse(std::string(key) + " = " + value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) +
             ", expected " + expected);
    }
    content_.erase(found);
    return value;
  }

  int integer(const char* key);  ///< 0..10^9
  bool boolean(const char* key);
  /// A number in least..most, which `expected` describes.
  float number(const char* key, double least, double most, const char* expected);
  std::string text(const char* key);

  /// Throws where a key was not taken.
  void end() const;

 private:
  [[noreturn]] void refuse(const std::string& what) const;

  std::string where_;
  nlohmann::json content_;
};

}  // namespace starling::json
