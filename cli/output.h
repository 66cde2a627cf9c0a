#pragma once

#include <nlohmann/json_fwd.hpp>

/// What goes to stdout.
namespace starling::cli {

/// Prints one line of JSON on stdout. Names that are not UTF-8 get replacement characters.
void print_line(const nlohmann::ordered_json& json);

/// Hands what was printed to the system. Throws ErrorKind::usage where stdout cannot be written to.
void flush_output();

}  // namespace starling::cli
