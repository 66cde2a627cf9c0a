#include "starling/shower_finder.h"

#include <nlohmann/json.hpp>

#include "json/section.h"
#include "shower_finder/check.h"
#include "starling/error.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kKind = "showers";
constexpr const char* kNumber = "a number in 0..1000000";

// Ranges are those of check(), which follows: here a number need only be one.
float number(json::Section& section, const char* key) { return section.number(key, 0., 1e6, kNumber); }

ShowerFeatures features_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  const ShowerFeatures features{number(section, "energy"), number(section, "distance"), number(section, "layer"),
                                number(section, "time")};
  section.end();
  shower_finder::check(features, ErrorKind::input, where + ": ");
  return features;
}

ShowerOutputs outputs_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  ShowerOutputs outputs;
  outputs.coordinates = section.integer("coordinates");
  outputs.residual = number(section, "residual");
  outputs.scale = section.boolean("scale");
  outputs.energy = section.boolean("energy");
  outputs.position = number(section, "position");
  const nlohmann::json classes = section.take("classes", "a list of names", [](const nlohmann::json& value) {
    if (!value.is_array()) return false;
    for (const nlohmann::json& name : value) {
      if (!name.is_string()) return false;
    }
    return true;
  });
  outputs.classes = classes.get<std::vector<std::string>>();
  section.end();
  shower_finder::check(outputs, ErrorKind::input, where + ": ");
  return outputs;
}

ShowerCuts cuts_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  ShowerCuts cuts;
  cuts.t_beta = section.number("t_beta", 0., 1., "a number in 0..1");
  cuts.t_d = number(section, "t_d");
  const nlohmann::json assign = section.take("assign", "collect or nearest", [](const nlohmann::json& value) {
    return value == "collect" || value == "nearest";
  });
  cuts.assign = parse_condense_assign(assign.get<std::string>());
  cuts.min_hits = section.integer("min_hits");
  cuts.min_energy = number(section, "min_energy");
  section.end();
  shower_finder::check(cuts, ErrorKind::input, where + ": ");
  return cuts;
}

}  // namespace

CondenseAssign parse_condense_assign(const std::string& name) {
  if (name == "collect") return CondenseAssign::collect;
  if (name == "nearest") return CondenseAssign::nearest;
  throw Error(ErrorKind::usage, "assignment '" + name + "': expected collect or nearest");
}

std::string to_string(CondenseAssign assign) {
  switch (assign) {
    case CondenseAssign::collect:
      return "collect";
    case CondenseAssign::nearest:
      return "nearest";
  }
  throw Error(ErrorKind::usage,
              "assignment " + std::to_string(static_cast<int>(assign)) + ": expected collect or nearest");
}

std::string to_json(const ShowerCuts& cuts) {
  return Json{{"t_beta", cuts.t_beta},
              {"t_d", cuts.t_d},
              {"assign", to_string(cuts.assign)},
              {"min_hits", cuts.min_hits},
              {"min_energy", cuts.min_energy}}
      .dump();
}

Model ShowerFinder::to_model() const {
  shower_finder::check(*this);
  Model model;
  model.kind = kKind;
  network.to_model(model);
  auto& sections = model.content.metadata;
  sections["features"] = Json{
      {"energy", features.energy},
      {"distance", features.distance},
      {"layer", features.layer},
      {"time",
       features.time}}.dump();
  sections["outputs"] =
      Json{{"coordinates", outputs.coordinates}, {"residual", outputs.residual}, {"scale", outputs.scale},
           {"energy", outputs.energy},           {"position", outputs.position}, {"classes", outputs.classes}}
          .dump();
  sections["cuts"] = to_json(cuts);
  sections["provenance"] = provenance;
  return model;
}

ShowerFinder ShowerFinder::from_model(const Model& model) {
  const std::string& name = model.content.name;
  if (model.kind != kKind) {
    // Files of format 1 say no kind: they are of tracking.
    const std::string kind = model.kind.empty() ? "tracking" : model.kind;
    throw Error(ErrorKind::input, name + ": kind = " + json::quoted(kind) + ", expected \"" + kKind + "\"");
  }
  ShowerFinder finder;
  finder.network = GravNet::from_model(model);
  finder.features = features_from_json(model.section("features"), name + ": features");
  finder.outputs = outputs_from_json(model.section("outputs"), name + ": outputs");
  finder.cuts = cuts_from_json(model.section("cuts"), name + ": cuts");
  shower_finder::check_fit(finder, ErrorKind::input, name + ": ");
  const std::string& history = model.section("provenance");
  json::parse_object(history, name + ": \"provenance\"");
  finder.provenance = history;
  for (const auto& [tensor, unused] : model.content.tensors) {
    if (!finder.network.weights.contains(tensor)) {
      throw Error(ErrorKind::input, name + ": tensor " + json::quoted(tensor) + " is not part of the architecture");
    }
  }
  return finder;
}

ShowerFinder ShowerFinder::load(const std::filesystem::path& file) { return from_model(Model::load(file)); }

void ShowerFinder::save(const std::filesystem::path& file) const { to_model().save(file); }

}  // namespace starling
