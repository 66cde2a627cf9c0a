#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "starling/error.h"
#include "starling/shower_metrics.h"

namespace starling {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kOneSigma = 0.682689492137085897;  // erf(1/√2)
constexpr std::size_t kGroups = 20;

using Numbers = std::array<double, 3>;  // mean, median, resolution

Numbers numbers_of(const std::vector<double>& ascending) {
  const std::size_t n = ascending.size();
  double sum = 0;
  for (const double value : ascending) sum += value;
  const double median = (ascending[(n - 1) / 2] + ascending[n / 2]) / 2;
  const auto held = static_cast<std::size_t>(std::ceil(kOneSigma * static_cast<double>(n)));
  double width = ascending.back() - ascending.front();
  for (std::size_t i = 0; i + held <= n; ++i) width = std::min(width, ascending[i + held - 1] - ascending[i]);
  return {sum / static_cast<double>(n), median, n < 2 ? kNone : width / 2 / median};
}

}  // namespace

Spread spread_of(std::span<const double> values) {
  const std::size_t n = values.size();
  if (n == 0) return {0, {kNone, kNone}, {kNone, kNone}, {kNone, kNone}};
  std::vector<std::pair<double, std::size_t>> sorted;
  for (std::size_t i = 0; i < n; ++i) {
    if (std::isnan(values[i])) throw Error(ErrorKind::usage, "spread_of: value " + std::to_string(i) + " is NaN");
    sorted.emplace_back(values[i], i % kGroups);
  }
  std::sort(sorted.begin(), sorted.end());

  // Of all values, or of all but those of one group.
  std::vector<double> ascending;
  const auto without = [&](std::size_t group) {
    ascending.clear();
    for (const auto& [value, its_group] : sorted) {
      if (its_group != group) ascending.push_back(value);
    }
    return numbers_of(ascending);
  };
  const Numbers all = without(kGroups);
  Numbers errors = {kNone, kNone, kNone};
  if (n >= kGroups) {
    std::array<Numbers, kGroups> parts;
    for (std::size_t group = 0; group < kGroups; ++group) parts[group] = without(group);
    for (std::size_t i = 0; i < all.size(); ++i) {
      double mean = 0, squares = 0;
      for (const Numbers& part : parts) mean += part[i] / kGroups;
      for (const Numbers& part : parts) squares += (part[i] - mean) * (part[i] - mean);
      errors[i] = std::sqrt(squares * (kGroups - 1) / kGroups);
    }
  }
  return {static_cast<std::int64_t>(n), {all[0], errors[0]}, {all[1], errors[1]}, {all[2], errors[2]}};
}

}  // namespace starling
