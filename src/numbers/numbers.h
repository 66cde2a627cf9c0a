#pragma once

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

/// Decimal numbers as people write them in command lines and configurations.
namespace starling::numbers {

/// The number that the whole of `text` is: decimal, leading zeros allowed. Nothing where it is no number, not finite,
/// beyond the type, or has a sign that the type does not.
template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return value;
}

/// Appends the fewest digits that read back as the same number.
template <class Number>
void append(std::string& text, Number value) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

/// The fewest digits that read back as the same number.
template <class Number>
std::string to_text(Number value) {
  std::string text;
  append(text, value);
  return text;
}

/// "an integer from 1 to 10", "a number of at least 0": a bound at the end of the type is not named, but for 0.
template <class Number>
std::string range(std::string text, Number low, Number high) {
  const bool below = low > std::numeric_limits<Number>::lowest() || low == 0,
             above = high < std::numeric_limits<Number>::max();
  if (below && above) return text + " from " + to_text(low) + " to " + to_text(high);
  if (below) return text + " of at least " + to_text(low);
  if (above) return text + " of at most " + to_text(high);
  return text;
}

}  // namespace starling::numbers
