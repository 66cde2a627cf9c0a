#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

/// What goes to stdout and stderr.
namespace starling::cli {

/// Prints one line of JSON on stdout. Names that are not UTF-8 get replacement characters.
void print_line(const nlohmann::ordered_json& json);

/// A message as one line: control characters, which a path may hold, are escaped ("\x0a").
std::string one_line(const std::string& text);

/// Hands what was printed to the system. Throws ErrorKind::usage where stdout cannot be written to.
void flush_output();

}  // namespace starling::cli
