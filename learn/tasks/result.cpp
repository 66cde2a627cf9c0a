#include "learn/tasks/result.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>

#include "files/files.h"
#include "starling/error.h"
#include "starling/model.h"
#include "starling/shower_finder.h"
#include "starling/track_finder.h"

namespace starling::learn {
namespace {

using Json = nlohmann::ordered_json;

Json parsed(std::string_view text, const std::filesystem::path& file) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw Error(ErrorKind::input, file.string() + ": expected JSON objects");
  return json;
}

std::string_view last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text.substr(text.rfind('\n') + 1);
}

double number(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object.at(key).is_number() ? object.at(key).get<double>() : NAN;
}

double kept_part(const TrackFinder& finder) {
  std::int64_t all = 0, kept = 0;
  if (const auto* const network = std::get_if<QuantizedNetwork>(&finder.network)) {
    for (const auto& [name, layer] : network->layers) {
      all += std::ssize(layer.weight);
      kept += layer.kept.empty()
                  ? std::ssize(layer.weight)
                  : std::count_if(layer.kept.begin(), layer.kept.end(), [](auto one) { return one != 0; });
    }
  } else {
    for (const auto& [name, values] : std::get<InteractionNetwork>(finder.network).weights) {
      if (!name.ends_with(".weight")) continue;
      all += std::ssize(values);
      kept += std::count_if(values.begin(), values.end(), [](float value) { return value != 0; });
    }
  }
  return static_cast<double>(kept) / static_cast<double>(all);
}

void add_costs(RunResult& result, const TrackFinder& finder, const Json& provenance) {
  result.kept = kept_part(finder);
  const Json graph = provenance.value("validation_graph", Json());
  const double events = number(graph, "events");
  const double nodes = number(graph, "nodes") / events, edges = number(graph, "edges") / events;
  for (const LayerCost& layer : std::visit([](const auto& network) { return layer_costs(network); }, finder.network)) {
    result.parameters += layer.parameters;
    result.nonzero += layer.nonzero;
    result.bytes += layer.bytes;
    result.macs += nodes * layer.macs_per_node + edges * layer.macs_per_edge;
    result.bops += nodes * layer.bops_per_node + edges * layer.bops_per_edge;
  }
}

void add_costs(RunResult& result, const ShowerFinder& finder) {
  result.parameters = result.nonzero = parameter_count(finder.network.shape);
  result.bytes = 4 * result.parameters;
  result.macs = result.bops = NAN;
}

}  // namespace

double RunResult::metric(std::string_view name) const {
  for (const auto& [found, value] : metrics) {
    if (found == name) return value;
  }
  return NAN;
}

std::optional<RunResult> read_run_result(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "model.safetensors", metrics = folder / "metrics.jsonl";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored) || !std::filesystem::exists(metrics, ignored)) return std::nullopt;
  const Model model = Model::load(file);
  RunResult result;
  const auto read_provenance = [&](const std::string& text) {
    Json provenance = parsed(text, file);
    const Json epochs = provenance.value("epochs", Json());
    if (!epochs.is_number_integer()) throw Error(ErrorKind::input, file.string() + ": not a model that a run left");
    result.epochs = epochs.get<int>();
    return provenance;
  };
  if (model.kind == "showers") {
    const ShowerFinder finder = ShowerFinder::from_model(model);
    read_provenance(finder.provenance);
    add_costs(result, finder);
  } else {
    const TrackFinder finder = TrackFinder::from_model(model);
    add_costs(result, finder, read_provenance(finder.provenance));
  }
  const files::Bytes text = files::read(metrics);
  const Json last = parsed(last_line(text.text()), metrics);
  result.seconds = number(last, "seconds");
  for (const auto& [name, value] : last.items()) {
    const bool other = name == "learning_rate" || name == "training_loss" || name == "seconds" ||
                       name == "events_per_second" || value.is_number_integer();
    if (!other) result.metrics.emplace_back(name, value.is_number() ? value.get<double>() : NAN);
  }
  return result;
}

}  // namespace starling::learn
