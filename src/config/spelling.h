#pragma once

#include <cstddef>
#include <string_view>

namespace starling {

/// Edit distance (Levenshtein): how many characters must be put in, taken out or replaced to turn one word into the
/// other. For suggestions in error messages.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace starling
