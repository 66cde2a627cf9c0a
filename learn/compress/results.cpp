#include "learn/compress/results.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <variant>

#include "files/files.h"
#include "starling/error.h"
#include "starling/track_finder.h"

namespace starling::learn {
namespace {

using Json = nlohmann::ordered_json;

// The part of all weights that is not pruned; in float, that is not zero.
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
    for (const auto& [name, values] : std::get<starling::InteractionNetwork>(finder.network).weights) {
      if (!name.ends_with(".weight")) continue;
      all += std::ssize(values);
      kept += std::count_if(values.begin(), values.end(), [](float value) { return value != 0; });
    }
  }
  return static_cast<double>(kept) / static_cast<double>(all);
}

double number(const Json& record, const char* key) {
  return record.contains(key) && record.at(key).is_number() ? record.at(key).get<double>() : NAN;
}

Json or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

StageResult read_result(const std::string& name, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "model.safetensors";
  const TrackFinder finder = TrackFinder::load(file);
  StageResult result;
  result.name = name;
  result.kept = kept_part(finder);
  const auto costs = std::visit([](const auto& network) { return layer_costs(network); }, finder.network);
  try {
    const Json provenance = Json::parse(finder.provenance), &graph = provenance.at("validation_graph");
    const double events = graph.at("events").get<double>();
    const double nodes = graph.at("nodes").get<double>() / events, edges = graph.at("edges").get<double>() / events;
    for (const LayerCost& cost : costs) {
      result.parameters += cost.parameters;
      result.nonzero += cost.nonzero;
      result.bytes += cost.bytes;
      result.macs += nodes * cost.macs_per_node + edges * cost.macs_per_edge;
      result.bops += nodes * cost.bops_per_node + edges * cost.bops_per_edge;
    }
    const std::string metrics(files::read(folder / "metrics.jsonl").text());
    const Json last = Json::parse(metrics.substr(metrics.rfind('\n', metrics.size() - 2) + 1));
    result.epochs = last.at("epoch").get<int>();
    result.seconds = number(last, "seconds");
    result.loss = number(last, "validation_loss");
    result.efficiency = number(last, "efficiency");
    result.target_purity = number(last, "target_purity");
    result.total_purity = number(last, "total_purity");
    result.masked_purity = number(last, "masked_purity");
    result.track_efficiency = number(last, "track_efficiency");
    result.track_fakes = number(last, "track_fakes");
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::input, file.string() + ": not of a stage of a compression: " + error.what());
  }
  return result;
}

std::string to_json(const StageResult& result) {
  Json line = {{"stage", result.name},      {"kept", result.kept},    {"parameters", result.parameters},
               {"nonzero", result.nonzero}, {"bytes", result.bytes},  {"macs", result.macs},
               {"bops", result.bops},       {"epochs", result.epochs}};
  line["validation_loss"] = or_null(result.loss);
  line["efficiency"] = or_null(result.efficiency);
  line["target_purity"] = or_null(result.target_purity);
  line["total_purity"] = or_null(result.total_purity);
  line["masked_purity"] = or_null(result.masked_purity);
  line["track_efficiency"] = or_null(result.track_efficiency);
  line["track_fakes"] = or_null(result.track_fakes);
  line["seconds"] = or_null(result.seconds);
  return line.dump();
}

std::string table(const std::vector<StageResult>& results) {
  std::string text =
      "               weights                          BOPs    edges:   target    total   masked  tracks:\n"
      "stage             kept    nonzero      bytes   per event  effic.   purity   purity   purity   effic.    fakes   "
      " loss  epochs  seconds\n";
  for (const StageResult& one : results) {
    char row[240];
    std::snprintf(row, sizeof row,
                  "%-12s %8.2f%% %10lld %10lld  %10.3g  %.4f  %7.4f  %7.4f  %7.4f  %7.4f  %7.4f  %.5f  %6d  %7.0f\n",
                  one.name.c_str(), 100 * one.kept, static_cast<long long>(one.nonzero),
                  static_cast<long long>(one.bytes), one.bops, one.efficiency, one.target_purity, one.total_purity,
                  one.masked_purity, one.track_efficiency, one.track_fakes, one.loss, one.epochs, one.seconds);
    text += row;
  }
  return text;
}

}  // namespace starling::learn
