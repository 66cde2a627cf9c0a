#include "sensitivity_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "files/files.h"
#include "numbers/numbers.h"
#include "plot.h"

namespace starling::cli {
namespace {

constexpr std::string_view kTrialsHeader =
    "layer,bits,pruned,loss,efficiency,target_purity,total_purity,masked_purity,bops_per_event\n";
constexpr const char *kCsv = "sensitivity.csv", *kPicture = "sensitivity.png";

std::string setting_text(const LayerSetting& setting) {
  if (setting.pruned > 0) return numbers::to_text(100 * setting.pruned) + " % pruned";
  return std::to_string(setting.bits) + " bits";
}

std::string digits(double value) { return std::isfinite(value) ? numbers::to_text(value) : ""; }

std::string csv_row(const std::string& layer, const std::string& bits, double pruned, const Measured& m) {
  std::string text = layer + ',' + bits + ',' + numbers::to_text(pruned) + ',' + digits(m.loss);
  for (const Ratio& ratio :
       {m.edges.efficiency(), m.edges.target_purity(), m.edges.total_purity(), m.edges.masked_purity()}) {
    text += ',' + digits(ratio.value());
  }
  return text + ',' + digits(m.bops) + '\n';
}

std::string row(const std::string& layer, const std::string& setting, const Measured& m, const Measured& full) {
  char line[200];
  std::snprintf(line, sizeof line, "%-20s %-12s %9.5f %+8.2f %% %8.2f %8.2f %8.2f %10.3g\n", layer.c_str(),
                setting.c_str(), m.loss, 100 * (m.loss / full.loss - 1), 100 * m.edges.efficiency().value(),
                100 * m.edges.target_purity().value(), 100 * m.edges.total_purity().value(), m.bops);
  return line;
}

}  // namespace

std::string SensitivityReport::text() const {
  char head[200];
  std::snprintf(head, sizeof head, "%-20s %-12s %9s %10s %8s %8s %8s %10s\n", "", "", "", "", "edge", "target", "total",
                "BOPs");
  std::string text = head;
  std::snprintf(head, sizeof head, "%-20s %-12s %9s %10s %8s %8s %8s %10s\n", "layer", "setting", "loss", "added",
                "eff.", "purity", "purity", "per event");
  text += head;
  text += row("all", "float", in_float, full) + row("all", "12 bits", full, full);
  for (const Trial& trial : trials) text += row(trial.layer, setting_text(trial.setting), trial.measured, full);
  return text;
}

std::string SensitivityReport::csv() const {
  std::string text(kTrialsHeader);
  text += csv_row("all", "32", 0, in_float) + csv_row("all", "12", 0, full);
  for (const Trial& trial : trials) {
    text += csv_row(trial.layer, std::to_string(trial.setting.bits), trial.setting.pruned, trial.measured);
  }
  return text;
}

// Rows are layers, columns settings; a colour is a power of ten of the loss that is added.
bool SensitivityReport::draw(const std::filesystem::path& file) const {
  std::vector<std::string> layers, settings;
  const auto place = [](std::vector<std::string>& names, const std::string& name) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) return found - names.begin();
    names.push_back(name);
    return static_cast<std::ptrdiff_t>(names.size()) - 1;
  };
  std::string cells;
  constexpr double kLeast = 1e-4;  // of the loss: what is below is drawn like it
  for (const Trial& trial : trials) {
    const double added = trial.measured.loss / full.loss - 1;
    const auto x = place(settings, setting_text(trial.setting)), y = place(layers, trial.layer);
    cells += std::to_string(x) + ' ' + std::to_string(y) + ' ' +
             numbers::to_text(100 * (std::isfinite(added) ? std::clamp(added, kLeast, 1e4) : 1e4)) + '\n';
  }
  Plot plot(static_cast<int>(240 + 90 * settings.size()), static_cast<int>(120 + 18 * layers.size()));
  plot << "$cells << EOD\n"
       << cells << "EOD\nunset key\nset logscale cb\nset title 'loss added, %'\n"
       << "set palette defined (0 '#f4f7fb', 0.4 '#f2c14e', 0.7 '#d9480f', 1 '#5c0f0f')\n"
       << "set xrange [-0.5:" << static_cast<double>(settings.size()) - 0.5 << "]\nset yrange ["
       << static_cast<double>(layers.size()) - 0.5 << ":-0.5]\nset xtics (";
  for (std::size_t i = 0; i < settings.size(); ++i) plot << (i == 0 ? "" : ", ") << Plot::tic(settings[i]) << ' ' << i;
  plot << ") scale 0\nset ytics (";
  for (std::size_t i = 0; i < layers.size(); ++i) plot << (i == 0 ? "" : ", ") << Plot::tic(layers[i]) << ' ' << i;
  plot << ") scale 0\nplot $cells using 1:2:(0.48):(0.46):3 with boxxyerror fillstyle solid linecolor palette\n";
  return plot.save(file);
}

std::vector<std::filesystem::path> SensitivityReport::write(const std::filesystem::path& folder) const {
  files::write(folder / kCsv, csv(), files::Durable::no);
  std::vector<std::filesystem::path> written = {folder / kCsv};
  if (!trials.empty() && draw(folder / kPicture)) written.push_back(folder / kPicture);
  return written;
}

void SensitivityReport::check_places(const std::filesystem::path& folder) {
  files::check_place(folder / kCsv, [](std::string_view head) { return head.starts_with(kTrialsHeader); });
  Plot::check_place(folder / kPicture);
}

}  // namespace starling::cli
