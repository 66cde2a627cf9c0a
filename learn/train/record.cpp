#include "learn/train/record.h"

#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json number(std::int64_t value) { return value; }

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

double value(const Json& record, const std::string& key) {
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

}  // namespace

std::string to_json(const EpochRecord& record) {
  Json line;
  line["epoch"] = record.epoch;
  line["learning_rate"] = record.learning_rate;
  line["training_loss"] = number(record.training_loss);
  line["validation_loss"] = number(record.validation.loss);
  for (const auto& [name, metric] : record.validation.metrics) {
    line[name] = std::visit([](auto one) { return number(one); }, metric);
  }
  line["seconds"] = std::round(record.seconds * 100) / 100;
  line["events_per_second"] = std::round(record.events_per_second * 100) / 100;
  return line.dump();
}

TrainingCurves curves(const std::string& metrics, const std::vector<std::string>& shown) {
  TrainingCurves result;
  for (const std::string& name : shown) result.metrics.emplace_back(name, std::vector<double>());
  for (const Json& record : parsed(metrics)) {
    result.epoch.push_back(value(record, "epoch"));
    result.training_loss.push_back(value(record, "training_loss"));
    result.validation_loss.push_back(value(record, "validation_loss"));
    for (auto& [name, column] : result.metrics) column.push_back(value(record, name));
  }
  return result;
}

bool is_flat(const std::string& metrics, int epochs, double spread) {
  const std::vector<Json> records = parsed(metrics);
  if (epochs < 1 || records.size() < static_cast<std::size_t>(epochs)) return false;
  double least = INFINITY, largest = -INFINITY, sum = 0;
  for (auto record = records.end() - epochs; record != records.end(); ++record) {
    const double loss = value(*record, "validation_loss");
    if (!std::isfinite(loss)) return false;
    least = std::min(least, loss);
    largest = std::max(largest, loss);
    sum += loss;
  }
  return largest - least <= spread * sum / epochs;
}

std::string to_json(const Provenance& provenance) {
  const std::vector<Json> records = parsed(provenance.metrics);
  Json json;
  json["starling"] = STARLING_VERSION;
  json["git"] = STARLING_GIT;
  json["torch"] = TORCH_VERSION;
  json["device"] = provenance.device;
  json["seed"] = provenance.seed;
  const auto epochs = records.back().at("epoch").get<std::int64_t>();
  json["epochs"] = epochs;
  json["steps"] = epochs * provenance.steps_per_epoch;
  json.update(Json::parse(provenance.task));
  json["last"] = without_times(records.back());
  json["least_validation_loss"] = without_times(best(records));
  json["configuration"] = select_keys(provenance.configuration, [](std::string_view key) {
    return key != "training.output" && key != "training.workers";
  });
  return json.dump();
}

std::string title(const std::string& metric) {
  std::string text = metric;
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string summary(const std::string& metrics, const std::vector<std::string>& shown) {
  const std::vector<Json> records = parsed(metrics);
  std::string text = "                       epoch  training loss  validation loss";
  for (const std::string& name : shown)
    text += "  " + std::string(name.size() < 6 ? 6 - name.size() : 0, ' ') + title(name);
  text += '\n';
  const auto row = [&](const char* name, const Json& record) {
    char part[200];
    std::snprintf(part, sizeof part, "%-22s %5d  %13.5f  %15.5f", name, record.at("epoch").get<int>(),
                  value(record, "training_loss"), value(record, "validation_loss"));
    text += part;
    for (const std::string& metric : shown) {
      std::snprintf(part, sizeof part, "  %*.4f", std::max(6, static_cast<int>(metric.size())), value(record, metric));
      text += part;
    }
    text += '\n';
  };
  row("last (in the model)", records.back());
  row("least validation loss", best(records));
  return text;
}

}  // namespace starling::learn
