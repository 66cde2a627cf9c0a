// Columns that a caller fills must fit together: checked where they are handed in.
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "numbers/numbers.h"
#include "starling/calorimeter.h"
#include "starling/error.h"

namespace starling {
namespace {

[[noreturn]] void refuse(const std::string& table, const std::string& what) {
  throw Error(ErrorKind::usage, table + ": " + what);
}

void require_length(const char* table, const char* name, std::size_t length, std::size_t expected, const char* first) {
  if (length == expected) return;
  refuse(table, std::string("column ") + name + " has " + std::to_string(length) + " entries, expected " +
                    std::to_string(expected) + " as in column " + first);
}

void require_values(const char* table, const char* name, std::span<const float> values, float least) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && values[i] >= least) continue;
    refuse(table, std::string(name) + "[" + std::to_string(i) + "] = " + numbers::to_text(values[i]) +
                      ": expected a finite number" + (least == 0 ? " of at least 0" : ""));
  }
}

constexpr float kAny = std::numeric_limits<float>::lowest();

}  // namespace

void CalorimeterHitsView::check() const {
  constexpr const char* kTable = "calorimeter hits";
  if (x.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    refuse(kTable, std::to_string(x.size()) + " hits, expected at most 2147483647");
  }
  require_length(kTable, "y", y.size(), x.size(), "x");
  require_length(kTable, "z", z.size(), x.size(), "x");
  require_length(kTable, "energy", energy.size(), x.size(), "x");
  if (!time.empty()) require_length(kTable, "time", time.size(), x.size(), "x");
  if (!layer.empty()) require_length(kTable, "layer", layer.size(), x.size(), "x");
  require_values(kTable, "x", x, kAny);
  require_values(kTable, "y", y, kAny);
  require_values(kTable, "z", z, kAny);
  require_values(kTable, "energy", energy, 0);
  require_values(kTable, "time", time, kAny);
}

CalorimeterHits::operator CalorimeterHitsView() const {
  constexpr const char* kTable = "calorimeter hits";
  require_length(kTable, "hit_id", hit_id.size(), x.size(), "x");
  require_length(kTable, "y", y.size(), x.size(), "x");
  require_length(kTable, "z", z.size(), x.size(), "x");
  require_length(kTable, "energy", energy.size(), x.size(), "x");
  if (!time.empty()) require_length(kTable, "time", time.size(), x.size(), "x");
  if (!layer.empty()) require_length(kTable, "layer", layer.size(), x.size(), "x");
  return {x, y, z, energy, time, layer};
}

void Showers::check() const {
  constexpr const char* kTable = "showers";
  const auto column = [&](const char* name, const auto& values) {
    if (!values.empty()) require_length(kTable, name, values.size(), shower_id.size(), "shower_id");
  };
  column("energy", energy), column("eta", eta), column("phi", phi), column("pdg", pdg), column("hard", hard);
  require_values(kTable, "energy", energy, 0);
  require_values(kTable, "eta", eta, kAny);
  require_values(kTable, "phi", phi, kAny);
  for (std::size_t i = 0; i < hard.size(); ++i) {
    if (hard[i] == 0 || hard[i] == 1) continue;
    refuse(kTable, "hard[" + std::to_string(i) + "] = " + std::to_string(hard[i]) + ": expected 1 or 0");
  }
}

}  // namespace starling
