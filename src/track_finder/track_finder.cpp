#include "starling/track_finder.h"

#include <nlohmann/json.hpp>

#include "json/section.h"
#include "starling/error.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kKind = "tracking";

FeatureScales scales_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  const auto scale = [&](const char* key) { return section.number(key, 1e-30, 1e30, "a number above 0"); };
  const FeatureScales scales{scale("r"), scale("phi"), scale("z"), scale("eta")};
  section.end();
  return scales;
}

TrackCuts cuts_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  TrackCuts cuts;
  section.take("builder", "the name of a track builder", [&](const nlohmann::json& value) {
    if (!value.is_string()) return false;
    try {
      cuts.builder = parse_track_builder(value.get<std::string>());
    } catch (const Error&) {
      return false;
    }
    return true;
  });
  const auto score = [&](const char* key) { return section.number(key, 0., 1., "a number in 0..1"); };
  cuts.score = score("score");
  cuts.walk_min = score("walk_min");
  cuts.walk_add = score("walk_add");
  cuts.min_hits = section.integer("min_hits");
  cuts.chain_layers = section.integer("chain_layers");
  section.end();
  return cuts;
}

}  // namespace

std::string to_json(const TrackCuts& cuts) {
  return Json{{"builder", to_string(cuts.builder)}, {"score", cuts.score},       {"walk_min", cuts.walk_min},
              {"walk_add", cuts.walk_add},          {"min_hits", cuts.min_hits}, {"chain_layers", cuts.chain_layers}}
      .dump();
}

const InteractionNetworkShape& TrackFinder::shape() const {
  return std::visit([](const auto& any) -> const InteractionNetworkShape& { return any.shape; }, network);
}

std::shared_ptr<const EdgePlan> TrackFinder::plan(SimdLevel level) const {
  if (const auto* const codes = std::get_if<QuantizedNetwork>(&network)) {
    return std::make_shared<const QuantizedPlan>(*codes, level);
  }
  return std::make_shared<const Plan>(std::get<InteractionNetwork>(network), level);
}

Model TrackFinder::to_model() const {
  Model model;
  model.kind = kKind;
  std::visit([&](const auto& any) { any.to_model(model); }, network);
  windows.to_file(model.content);
  model.content.metadata["scales"] =
      Json{{"r", scales.r}, {"phi", scales.phi}, {"z", scales.z}, {"eta", scales.eta}}.dump();
  model.content.metadata["cuts"] = to_json(cuts);
  model.content.metadata["provenance"] = provenance;
  return model;
}

TrackFinder TrackFinder::from_model(const Model& model) {
  const std::string& name = model.content.name;
  // Files of format 1 say no kind: there was no other.
  if (!model.kind.empty() && model.kind != kKind) {
    throw Error(ErrorKind::input, name + ": kind = " + json::quoted(model.kind) + ", expected \"" + kKind + "\"");
  }
  TrackFinder finder;
  if (QuantizedNetwork::is_in(model)) {
    finder.network = QuantizedNetwork::from_model(model);
  } else {
    finder.network = InteractionNetwork::from_model(model);
  }
  finder.scales = scales_from_json(model.section("scales"), name + ": scales");
  finder.cuts = cuts_from_json(model.section("cuts"), name + ": cuts");
  const auto history = model.content.metadata.find("provenance");
  if (history != model.content.metadata.end()) {
    json::parse_object(history->second, name + ": \"provenance\"");
    finder.provenance = history->second;
  }
  Model known;
  std::visit([&](const auto& any) { any.to_model(known); }, finder.network);
  for (const auto& [tensor, unused] : model.content.tensors) {
    if (!known.content.tensors.contains(tensor) && !tensor.starts_with("windows.")) {
      throw Error(ErrorKind::input, name + ": tensor " + json::quoted(tensor) + " is not part of the architecture");
    }
  }
  try {
    finder.windows = Windows::from_file(model.content);
  } catch (const Error& error) {
    throw Error(error.kind(), name + ": " + error.what());
  }
  return finder;
}

TrackFinder TrackFinder::load(const std::filesystem::path& file) { return from_model(Model::load(file)); }

void TrackFinder::save(const std::filesystem::path& file) const { to_model().save(file); }

}  // namespace starling
