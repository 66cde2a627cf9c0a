#include "shower_finder/check.h"

#include <set>

#include "json/section.h"
#include "shower_finder/formulas.h"

namespace starling {

int ShowerOutputs::columns() const { return shower_finder::OutputColumns(*this).count; }

namespace shower_finder {
namespace {

constexpr float kMost = 1e6f;

// NaN is outside.
void in_range(const std::string& where, const char* key, float value, float least, const char* expected,
              ErrorKind kind) {
  if (value >= least && value <= kMost) return;
  throw Error(kind, where + key + " = " + std::to_string(value) + ", expected " + expected);
}

constexpr const char* kUnit = "a number in 1e-6..1000000";
constexpr const char* kNotNegative = "a number in 0..1000000";

bool is_name(const std::string& text) {
  constexpr const char* kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  return !text.empty() && text.size() <= 64 && text.find_first_not_of(kLetters) == text.npos;
}

}  // namespace

void check(const ShowerFeatures& features, ErrorKind kind, const std::string& where) {
  in_range(where, "energy", features.energy, 1e-6f, kUnit, kind);
  in_range(where, "distance", features.distance, 1e-6f, kUnit, kind);
  in_range(where, "layer", features.layer, 0, kNotNegative, kind);
  in_range(where, "time", features.time, 0, kNotNegative, kind);
}

void check(const ShowerOutputs& outputs, ErrorKind kind, const std::string& where) {
  if (outputs.coordinates < 3 || outputs.coordinates > kMaxCondensationDimensions) {
    throw Error(kind, where + "coordinates = " + std::to_string(outputs.coordinates) + ", expected 3.." +
                          std::to_string(kMaxCondensationDimensions));
  }
  in_range(where, "residual", outputs.residual, 0, kNotNegative, kind);
  in_range(where, "position", outputs.position, 0, kNotNegative, kind);
  if (outputs.classes.size() > 64) {
    throw Error(kind, where + "classes: " + std::to_string(outputs.classes.size()) + " names, expected at most 64");
  }
  std::set<std::string> known;
  for (const std::string& name : outputs.classes) {
    if (!is_name(name)) {
      throw Error(kind, where + "classes: " + json::quoted(name) + ", expected up to 64 letters, digits or '_'");
    }
    if (!known.insert(name).second) throw Error(kind, where + "classes: " + json::quoted(name) + " is there twice");
  }
}

void check(const ShowerCuts& cuts, ErrorKind kind, const std::string& where) {
  if (!(cuts.t_beta >= 0.f && cuts.t_beta <= 1.f)) {
    throw Error(kind, where + "t_beta = " + std::to_string(cuts.t_beta) + ", expected a number in 0..1");
  }
  in_range(where, "t_d", cuts.t_d, 0, kNotNegative, kind);
  in_range(where, "min_energy", cuts.min_energy, 0, kNotNegative, kind);
  if (cuts.min_hits < 1 || cuts.min_hits > 1'000'000'000) {
    throw Error(kind, where + "min_hits = " + std::to_string(cuts.min_hits) + ", expected 1..1000000000");
  }
  (void)to_string(cuts.assign);  // throws for one that is not known; a file names it
}

void check(const ShowerFinder& finder) {
  check(finder.features, ErrorKind::usage, "features: ");
  check(finder.outputs, ErrorKind::usage, "outputs: ");
  check(finder.cuts, ErrorKind::usage, "cuts: ");
  check_fit(finder, ErrorKind::usage, "");
}

void check_fit(const ShowerFinder& finder, ErrorKind kind, const std::string& where) {
  const GravNetShape& shape = finder.network.shape;
  if (shape.inputs != kShowerFeatures) {
    throw Error(kind, where + "architecture: inputs = " + std::to_string(shape.inputs) +
                          ", expected the features of a hit: " + std::to_string(kShowerFeatures));
  }
  if (shape.outputs != finder.outputs.columns()) {
    throw Error(kind, where + "architecture: outputs = " + std::to_string(shape.outputs) +
                          ", expected the columns that the section outputs describes: " +
                          std::to_string(finder.outputs.columns()));
  }
}

}  // namespace shower_finder
}  // namespace starling
