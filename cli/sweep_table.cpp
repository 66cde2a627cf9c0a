#include "sweep_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "files/files.h"
#include "numbers/numbers.h"
#include "plot.h"
#include "sweep_plot.h"

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kCsv = "sweep.csv", *kJson = "sweep.jsonl", *kPicture = "sweep.png";

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

// The name of the run that a row is of.
std::string run_of_csv(const std::string& row) {
  return row.starts_with('"') ? row.substr(1, row.find('"', 1) - 1) : row.substr(0, row.find(','));
}
std::string run_of_json(const std::string& row) {
  const Json line = Json::parse(row, nullptr, false);
  return line.is_object() && line.contains("run") && line["run"].is_string() ? line["run"].get<std::string>() : "";
}

// Whether rows are those of runs in this folder: of one at least, or there are none.
template <class RunOf>
bool are_of(const std::filesystem::path& folder, std::string_view rows, const RunOf& run_of) {
  std::istringstream text{std::string(rows)};
  std::string row;
  bool empty = true;
  while (std::getline(text, row)) {
    empty = false;
    const std::string run = run_of(row);
    std::error_code ignored;
    if (!run.empty() && std::filesystem::is_directory(folder / run, ignored)) return true;
  }
  return empty;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

}  // namespace

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
    const learn::RunResult& r = row.result;
    text += ',' + std::to_string(r.parameters) + ',' + std::to_string(r.nonzero) + ',' + std::to_string(r.bytes) + ',' +
            digits(r.bops);
    for (const std::string& name : metrics_) text += ',' + digits(r.metric(name));
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
    for (const std::string& name : metrics_) line[name] = number(row.result.metric(name));
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
    const learn::RunResult& r = row.result;
    std::vector<std::string> line = {row.run, std::to_string(r.parameters), std::to_string(r.nonzero),
                                     std::to_string(r.bytes), short_number(r.bops)};
    for (const std::string& name : metrics_) {
      char value[32];
      std::snprintf(value, sizeof value, "%.4f", r.metric(name));
      line.emplace_back(std::isfinite(r.metric(name)) ? value : "-");
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
                column([](const learn::RunResult& r) { return static_cast<double>(r.nonzero); }));
  plot.add_cost("BOPs per event", column([](const learn::RunResult& r) { return r.bops; }));
  for (const std::string& name : metrics_) {
    std::string title = name;
    std::replace(title.begin(), title.end(), '_', ' ');
    plot.add_metric(title, column([&](const learn::RunResult& r) { return r.metric(name); }));
  }
  return plot.save(folder / kPicture);
}

void SweepTable::check_places(const std::filesystem::path& folder) {
  files::check_place(folder / kCsv, [&](std::string_view head) {
    return head.starts_with("run,") &&
           are_of(folder, head.substr(std::min(head.find('\n'), head.size() - 1) + 1), run_of_csv);
  });
  files::check_place(folder / kJson, [&](std::string_view head) { return are_of(folder, head, run_of_json); });
  Plot::check_place(folder / kPicture);
}

}  // namespace starling::cli
