#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "command.h"
#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "files/files.h"
#include "progress.h"
#include "sensitivity_report.h"
#include "starling/config.h"
#include "starling/detector.h"
#include "starling/error.h"
#include "starling/simulate.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

// Behind those that trainings have: none was trained on.
constexpr std::uint64_t kFirstEvent = 4ull << 40;
constexpr std::string_view kBitsFile = "bits.toml";
constexpr std::string_view kBitsHead = "# Bits of each layer, by starling sensitivity";

/// "8,6,4" as numbers, each once and in its range.
template <class Number>
std::vector<Number> list_of(const char* option, const std::string& text, Number low, Number high) {
  const auto refuse = [&] {
    throw Error(ErrorKind::usage, "sensitivity: " + std::string(option) + " = " + files::printable(text) +
                                      ": expected a list such as 8,6, each once and " +
                                      numbers::range("a number", low, high));
  };
  std::vector<Number> values;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const auto value = numbers::parse<Number>(text.substr(begin, end - begin));
    if (!value || *value < low || *value > high) refuse();
    if (std::find(values.begin(), values.end(), *value) != values.end()) refuse();
    values.push_back(*value);
    begin = end + 1;
  }
  return values;
}

/// What a model was trained on and for, as far as it says so.
struct Provenance {
  SimulationSettings simulation;
  TargetCuts target;
  LossWeights weights;

  explicit Provenance(const TrackFinder& finder) {
    const auto json = nlohmann::json::parse(finder.provenance, nullptr, false);
    std::string text;
    if (json.is_object() && json.contains("configuration") && json["configuration"].is_string()) {
      text = json["configuration"].get<std::string>();
    }
    Config config = Config::parse(text, "the model's configuration");
    simulation = read_simulation_settings(config);
    target = read_target_cuts(config);
    config.get("training.fake_weight", weights.fake, 0, 1e6);
    config.get("training.target_weight", weights.target, 0, 1e6);
    config.get("training.other_weight", weights.other, 0, 1e6);
  }
};

class Sensitivity final : public Command {
 public:
  Sensitivity()
      : Command("sensitivity", "Measure which layer of a tracking network loses how much at fewer bits or when pruned.",
                {"starling sensitivity models/tracking.safetensors --out runs/sensitivity",
                 "starling sensitivity models/tracking.safetensors events --bits 6,4 --threads 0"}) {}

  void declare(Options& options) override {
    options.path("MODEL", "", model_, "model file of tracking, in float").required();
    options.paths("EVENT", "", arguments_,
                  "prefix of an event with truth, its hits file, or a folder of events; none: simulated as the model's "
                  "training was");
    options.number("--events", events_, 1, 10000, "simulated events");
    options.number("--pileup", pileup_, 0.0, 1e4, "of simulated events").by_default("what the model's training had");
    options.path("--detector", "FILE", detector_, "of simulated events")
        .by_default("the shipped detectors/trackml.toml");
    options.number("--calibration-events", calibration_events_, 1, 10000,
                   "the first so many events set the thresholds of the quantisers");
    options.text("--bits", bits_, "bits to try, 2 to 11");
    options.text("--prune", pruned_, "parts of the weights to prune");
    options.number("--tolerance", tolerance_, 0.0, 1e6,
                   "the bits of bits.toml may add this part of the loss, by prediction");
    options.path("--out", "DIR", out_, "folder for sensitivity.csv, sensitivity.png and bits.toml");
    options.threads();
  }

  void run() override;

 private:
  void add_events(SensitivityTrials& trials, const Provenance& provenance, Progress& progress) const;
  std::vector<Trial> measure_all(const SensitivityTrials& trials, Progress& progress) const;
  BitAssignment assign(const SensitivityTrials& trials, const SensitivityReport& report) const;

  fs::path model_, detector_, out_;
  std::vector<fs::path> arguments_;
  int events_ = 4, calibration_events_ = 1;
  std::optional<double> pileup_;
  std::string bits_ = "8,6,4,2", pruned_ = "0.5,0.75,0.9";
  double tolerance_ = 0.05;
  std::vector<int> try_bits_;
  std::vector<double> try_pruned_;
};

void Sensitivity::add_events(SensitivityTrials& trials, const Provenance& provenance, Progress& progress) const {
  std::vector<fs::path> prefixes;
  for (const fs::path& argument : arguments_) {
    const std::vector<fs::path> found = find_events(argument);
    prefixes.insert(prefixes.end(), found.begin(), found.end());
  }
  SimulationSettings simulation = provenance.simulation;
  if (pileup_) simulation.pileup = *pileup_;
  const bool simulated = arguments_.empty();
  const Detector detector =
      simulated ? read_detector(detector_.empty() ? shipped_file("detectors/trackml.toml") : detector_) : Detector();
  const std::size_t count = simulated ? static_cast<std::size_t>(events_) : prefixes.size();
  in_flight(
      count,
      [&](std::size_t i) {
        return simulated ? simulate_event(detector, simulation, kFirstEvent + i) : read_event(prefixes[i]);
      },
      [&](const Event& event) {
        try {
          trials.add(event, provenance.target);
        } catch (const Error& error) {
          throw Error(error.kind(), simulated ? error.what() : named(prefixes[trials.events()], error.what()));
        }
        progress.show(static_cast<double>(trials.events()) / static_cast<double>(count), "building graphs");
      });
}

std::vector<Trial> Sensitivity::measure_all(const SensitivityTrials& trials, Progress& progress) const {
  std::vector<Trial> all;
  const std::size_t count = trials.layers().size() * (try_bits_.size() + try_pruned_.size());
  const auto measure = [&](const std::string& layer, const LayerSetting& setting) {
    progress.show(static_cast<double>(all.size()) / static_cast<double>(count), "measuring " + layer);
    all.push_back(trials.measure(layer, setting));
  };
  for (const std::string& layer : trials.layers()) {
    for (const int bits : try_bits_) measure(layer, {bits, 0});
    for (const double pruned : try_pruned_) measure(layer, {SensitivityTrials::kMostBits, pruned});
  }
  return all;
}

BitAssignment Sensitivity::assign(const SensitivityTrials& trials, const SensitivityReport& report) const {
  std::vector<std::pair<std::string, double>> full;
  for (const LayerCost& cost : layer_costs(trials.network({}))) {
    const bool runs = std::find(trials.layers().begin(), trials.layers().end(), cost.name) != trials.layers().end();
    if (runs) full.emplace_back(cost.name, trials.bops(cost));
  }
  std::vector<Trial> bits;
  for (const Trial& trial : report.trials) {
    if (trial.setting.pruned == 0) bits.push_back(trial);
  }
  return assign_bits(full, bits, report.full.loss, report.full.loss * (1 + tolerance_));
}

void Sensitivity::run() {
  try_bits_ = list_of("--bits", bits_, 2, SensitivityTrials::kMostBits - 1);
  try_pruned_ = list_of("--prune", pruned_, 0.001, 0.999);
  const TrackFinder finder = TrackFinder::load(model_);
  const Provenance provenance(finder);
  if (!out_.empty()) {
    make_output_folder(out_);
    SensitivityReport::check_places(out_);
    files::check_place(out_ / kBitsFile, [](std::string_view head) { return head.starts_with(kBitsHead); });
  }
  Progress progress;
  SensitivityTrials trials(finder, provenance.weights);
  add_events(trials, provenance, progress);
  progress.show(0, "calibrating");
  trials.calibrate(static_cast<std::size_t>(calibration_events_));
  SensitivityReport report{trials.measure_float(), trials.measure(trials.network({})), {}};
  report.trials = measure_all(trials, progress);

  const BitAssignment assignment = assign(trials, report);
  std::vector<std::pair<std::string, LayerSetting>> mixed;
  for (const auto& [layer, bits] : assignment.bits) mixed.push_back({layer, {bits, 0}});
  const Measured measured = trials.measure(trials.network(mixed));

  std::fputs(report.text().c_str(), stdout);
  char text[400];
  std::snprintf(text, sizeof text,
                "loss %.5f by prediction, %.5f measured together, %.5f with 12 bits; edge efficiency %.2f %%, total "
                "purity %.2f %%; %.3g BOPs per event, of %.3g with 12 bits",
                assignment.predicted_loss, measured.loss, report.full.loss, 100 * measured.edges.efficiency().value(),
                100 * measured.edges.total_purity().value(), measured.bops, report.full.bops);
  std::printf("\nmixed precision: %s\n", text);
  if (out_.empty()) return;
  const WritingFiles writing;
  std::vector<fs::path> written = report.write(out_);
  files::write(out_ / kBitsFile,
               std::string(kBitsHead) + " of " + model_.filename().string() + ", without training:\n# " + text + ".\n" +
                   to_toml(assignment, finder.shape()),
               files::Durable::no);
  written.push_back(out_ / kBitsFile);
  for (const fs::path& file : written) std::printf("%s\n", file.c_str());
}

}  // namespace

std::unique_ptr<Command> sensitivity_command() { return std::make_unique<Sensitivity>(); }

}  // namespace starling::cli
