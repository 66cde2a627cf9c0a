#include "learn/train/record.h"

#include <torch/version.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "starling/error.h"

namespace starling::learn {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::vector<Json> parsed(const std::string& metrics) {
  std::vector<Json> records;
  std::istringstream text(metrics);
  for (std::string line; std::getline(text, line);) {
    try {
      records.push_back(Json::parse(line));
    } catch (const nlohmann::json::exception&) {
      throw Error(ErrorKind::input, "checkpoint: metrics: not JSON: " + line);
    }
  }
  return records;
}

double value(const Json& record, const char* key) {
  return record.at(key).is_null() ? NAN : record.at(key).get<double>();
}

const Json& best(const std::vector<Json>& records) {
  const Json* least = &records.front();
  for (const Json& record : records) {
    if (value(record, "validation_loss") < value(*least, "validation_loss")) least = &record;
  }
  return *least;
}

Json without_times(Json record) {
  record.erase("seconds");
  record.erase("events_per_second");
  return record;
}

std::string without_place(const std::string& configuration) {
  std::istringstream text(configuration);
  std::string kept;
  for (std::string line; std::getline(text, line);) {
    if (line.rfind("output = ", 0) != 0 && line.rfind("workers = ", 0) != 0) kept += line + '\n';
  }
  return kept;
}

}  // namespace

std::string to_json(const EpochRecord& record) {
  Json line;
  line["epoch"] = record.epoch;
  line["learning_rate"] = record.learning_rate;
  line["training_loss"] = number(record.training_loss);
  line["validation_loss"] = number(record.validation_loss);
  line["efficiency"] = number(record.edges.efficiency().value());
  line["target_purity"] = number(record.edges.target_purity().value());
  line["total_purity"] = number(record.edges.total_purity().value());
  line["masked_purity"] = number(record.edges.masked_purity().value());
  line["target_edges"] = record.edges.target;
  line["predicted_edges"] = record.edges.predicted;
  line["seconds"] = std::round(record.seconds * 100) / 100;
  line["events_per_second"] = std::round(record.events_per_second * 100) / 100;
  return line.dump();
}

TrainingCurves curves(const std::string& metrics) {
  TrainingCurves result;
  for (const Json& record : parsed(metrics)) {
    result.epoch.push_back(value(record, "epoch"));
    result.training_loss.push_back(value(record, "training_loss"));
    result.validation_loss.push_back(value(record, "validation_loss"));
    result.efficiency.push_back(value(record, "efficiency"));
    result.target_purity.push_back(value(record, "target_purity"));
  }
  return result;
}

std::string provenance(const TrainingSettings& settings, const std::string& configuration, const std::string& metrics,
                       const GraphCounts& graph, const std::string& device) {
  const std::vector<Json> records = parsed(metrics);
  Json json;
  json["starling"] = STARLING_VERSION;
  json["git"] = STARLING_GIT;
  json["torch"] = TORCH_VERSION;
  json["device"] = device;
  json["seed"] = settings.seed;
  json["epochs"] = records.size();
  json["steps"] = records.size() * static_cast<std::size_t>(settings.events_per_epoch);
  json["validation_graph"] = {{"events", settings.validation_events},
                              {"edges", graph.edges},
                              {"segment_efficiency", number(graph.segments.value())},
                              {"prompt_segment_efficiency", number(graph.prompt_segments.value())},
                              {"purity", number(graph.purity.value())}};
  json["last"] = without_times(records.back());
  json["least_validation_loss"] = without_times(best(records));
  json["configuration"] = without_place(configuration);
  return json.dump();
}

std::string summary(const std::string& metrics) {
  const std::vector<Json> records = parsed(metrics);
  std::string text =
      "                       epoch  training loss  validation loss  efficiency  target purity  total purity\n";
  const auto row = [&](const char* name, const Json& record) {
    char line[200];
    std::snprintf(line, sizeof line, "%-22s %5d  %13.5f  %15.5f  %10.4f  %13.4f  %12.4f\n", name,
                  record.at("epoch").get<int>(), value(record, "training_loss"), value(record, "validation_loss"),
                  value(record, "efficiency"), value(record, "target_purity"), value(record, "total_purity"));
    text += line;
  };
  row("last (in the model)", records.back());
  row("least validation loss", best(records));
  return text;
}

}  // namespace starling::learn
