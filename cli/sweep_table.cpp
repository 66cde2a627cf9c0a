#include "sweep_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "files/files.h"
#include "model_kind.h"
#include "numbers/numbers.h"
#include "plot.h"
#include "starling/error.h"
#include "starling/quantized_network.h"
#include "starling/shower_finder.h"
#include "starling/track_finder.h"
#include "sweep_plot.h"

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kCsv = "sweep.csv", *kJson = "sweep.jsonl", *kPicture = "sweep.png";

Json parsed(const std::string& text, const std::filesystem::path& file) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw Error(ErrorKind::input, file.string() + ": expected JSON objects");
  return json;
}

std::string last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

// The mean of a count over the validation events; NaN where the model does not say.
double mean(const Json& graph, const char* count) {
  const auto value = [&](const char* key) {
    return graph.is_object() && graph.contains(key) && graph.at(key).is_number() ? graph.at(key).get<double>() : NAN;
  };
  return value(count) / value("events");
}

void add_costs(SweepResult& result, const TrackFinder& finder, const Json& provenance) {
  const Json graph = provenance.value("validation_graph", Json());
  const double nodes = mean(graph, "nodes"), edges = mean(graph, "edges");
  for (const LayerCost& layer : std::visit([](const auto& network) { return layer_costs(network); }, finder.network)) {
    result.parameters += layer.parameters;
    result.nonzero += layer.nonzero;
    result.bytes += layer.bytes;
    result.bops += nodes * layer.bops_per_node + edges * layer.bops_per_edge;
  }
}

void add_costs(SweepResult& result, const ShowerFinder& finder) {
  result.parameters = result.nonzero = parameter_count(finder.network.shape);
  result.bytes = 4 * result.parameters;
  result.bops = NAN;
}

// Text as a field of CSV.
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

// A value without the quotes that TOML has it in.
std::string bare(const std::string& value) {
  const bool quoted = value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0];
  return quoted ? value.substr(1, value.size() - 2) : value;
}

Json json_of(const std::string& value) {
  const Json json = Json::parse(value, nullptr, false);
  return json.is_discarded() ? Json(bare(value)) : json;
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string digits(double value) { return std::isfinite(value) ? numbers::to_text(value) : ""; }

double metric(const SweepResult& result, const std::string& name) {
  for (const auto& [found, value] : result.metrics) {
    if (found == name) return value;
  }
  return NAN;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace

std::optional<SweepResult> read_sweep_result(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "model.safetensors", metrics = folder / "metrics.jsonl";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored) || !std::filesystem::exists(metrics, ignored)) return std::nullopt;
  const Model model = Model::load(file);
  SweepResult result;
  const auto take_epochs = [&](const Json& provenance) { result.epochs = provenance.value("epochs", 0); };
  if (kind_of(model) == ModelKind::tracks) {
    const TrackFinder finder = TrackFinder::from_model(model);
    const Json provenance = parsed(finder.provenance, file);
    take_epochs(provenance);
    add_costs(result, finder, provenance);
  } else {
    const ShowerFinder finder = ShowerFinder::from_model(model);
    take_epochs(parsed(finder.provenance, file));
    add_costs(result, finder);
  }
  const Json last = parsed(last_line(files::read(metrics).text()), metrics);
  for (const auto& [name, value] : last.items()) {
    if (name == "seconds" && value.is_number()) result.seconds = value.get<double>();
    const bool other = name == "learning_rate" || name == "training_loss" || name == "seconds" ||
                       name == "events_per_second" || value.is_number_integer();
    if (!other) result.metrics.emplace_back(name, value.is_number() ? value.get<double>() : NAN);
  }
  return result;
}

SweepTable::SweepTable(std::vector<std::string> keys, std::vector<SweepRow> rows)
    : keys_(std::move(keys)), rows_(std::move(rows)) {
  for (const SweepRow& row : rows_) {
    for (const auto& [name, value] : row.result.metrics) {
      if (std::find(metrics_.begin(), metrics_.end(), name) == metrics_.end()) metrics_.push_back(name);
    }
  }
}

std::string SweepTable::csv() const {
  std::string text = "run";
  for (const std::string& key : keys_) text += ',' + field(key);
  text += ",parameters,nonzero_parameters,bytes,bops_per_event";
  for (const std::string& name : metrics_) text += ',' + field(name);
  text += ",seconds\n";
  for (const SweepRow& row : rows_) {
    text += field(row.run);
    for (const std::string& value : row.values) text += ',' + field(bare(value));
    const SweepResult& r = row.result;
    text += ',' + std::to_string(r.parameters) + ',' + std::to_string(r.nonzero) + ',' + std::to_string(r.bytes) + ',' +
            digits(r.bops);
    for (const std::string& name : metrics_) text += ',' + digits(metric(r, name));
    text += ',' + digits(r.seconds) + '\n';
  }
  return text;
}

std::string SweepTable::json_lines() const {
  std::string text;
  for (const SweepRow& row : rows_) {
    Json line = {{"run", row.run}};
    for (std::size_t k = 0; k < keys_.size(); ++k) line[keys_[k]] = json_of(row.values[k]);
    line["parameters"] = row.result.parameters;
    line["nonzero_parameters"] = row.result.nonzero;
    line["bytes"] = row.result.bytes;
    line["bops_per_event"] = number(row.result.bops);
    for (const std::string& name : metrics_) line[name] = number(metric(row.result, name));
    line["seconds"] = row.result.seconds;
    text += line.dump() + '\n';
  }
  return text;
}

std::string SweepTable::text() const {
  std::vector<std::vector<std::string>> lines = {{"run", "parameters", "nonzero", "bytes", "BOPs/event"}};
  for (const std::string& name : metrics_) {
    std::string title = name;
    std::replace(title.begin(), title.end(), '_', ' ');
    lines[0].push_back(title);
  }
  lines[0].emplace_back("seconds");
  for (const SweepRow& row : rows_) {
    const SweepResult& r = row.result;
    std::vector<std::string> line = {row.run, std::to_string(r.parameters), std::to_string(r.nonzero),
                                     std::to_string(r.bytes), short_number(r.bops)};
    for (const std::string& name : metrics_) {
      char value[32];
      std::snprintf(value, sizeof value, "%.4f", metric(r, name));
      line.emplace_back(std::isfinite(metric(r, name)) ? value : "-");
    }
    line.push_back(std::to_string(std::lround(r.seconds)));
    lines.push_back(std::move(line));
  }
  std::vector<std::size_t> widths(lines[0].size());
  for (const auto& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  std::string text;
  for (const auto& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) {
      const std::string space(widths[c] - line[c].size(), ' ');
      text += c == 0 ? line[c] + space : "  " + space + line[c];
    }
    text += '\n';
  }
  return text;
}

void SweepTable::write(const std::filesystem::path& folder) const {
  files::write(folder / kCsv, csv(), files::Durable::no);
  files::write(folder / kJson, json_lines(), files::Durable::no);
}

bool SweepTable::draw(const std::filesystem::path& folder) const {
  SweepPlot plot;
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    std::vector<std::string> values;
    for (const SweepRow& row : rows_) values.push_back(bare(row.values[k]));
    plot.add_key(keys_[k], values);
  }
  const auto column = [&](auto value) {
    std::vector<double> values;
    for (const SweepRow& row : rows_) values.push_back(value(row.result));
    return values;
  };
  plot.add_cost("parameters that are not 0",
                column([](const SweepResult& r) { return static_cast<double>(r.nonzero); }));
  plot.add_cost("BOPs per event", column([](const SweepResult& r) { return r.bops; }));
  for (const std::string& name : metrics_) {
    std::string title = name;
    std::replace(title.begin(), title.end(), '_', ' ');
    plot.add_metric(title, column([&](const SweepResult& r) { return metric(r, name); }));
  }
  return plot.save(folder / kPicture);
}

void SweepTable::check_places(const std::filesystem::path& folder) {
  files::check_place(folder / kCsv, [](std::string_view head) { return head.starts_with("run,"); });
  files::check_place(folder / kJson,
                     [](std::string_view head) { return head.empty() || head.starts_with("{\"run\":"); });
  Plot::check_place(folder / kPicture);
}

}  // namespace starling::cli
