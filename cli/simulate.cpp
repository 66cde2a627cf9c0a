#include "starling/simulate.h"

#include <cmath>
#include <cstdio>
#include <functional>

#include "command.h"
#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "starling/calorimeter.h"
#include "starling/config.h"
#include "starling/detector.h"
#include "starling/showers.h"

namespace starling::cli {
namespace {

constexpr std::uint64_t kEventNumbers = 1'000'000'000;  // nine digits in a file's name

/// "200", "0 to 200".
std::string text_of(const Range& range) {
  const std::string low = numbers::to_text(range.low);
  return range.low == range.high ? low : low + " to " + numbers::to_text(range.high);
}

class Simulate final : public Command {
 public:
  Simulate()
      : Command("simulate", "Simulate events of a tracker or a calorimeter and write them as CSV files.",
                {"starling simulate --events 10 --pileup 200 --seed 1 --out events",
                 "starling simulate --detector detectors/hgcal.toml --events 10 --showers 30 --pileup 0..200 --out "
                 "events"}) {}

  void declare(Options& options) override {
    options.number("--events", events_, 1, 100'000'000, "how many events");
    options.number("--first", first_, std::uint64_t{0}, kEventNumbers - 1, "number of the first event");
    options
        .range("--pileup", pileup_, 0, 1000, "mean number of collisions beside the first; drawn per event from X to Y")
        .by_default("200, 0 in a calorimeter");
    options
        .range("--showers", showers_, 0, 1000,
               "how many particles of the first collision enter the calorimeter; drawn per event from X to Y")
        .by_default("30");
    options.number("--seed", seed_, std::uint64_t{0}, ~std::uint64_t{0}, "seed of the random numbers").by_default("1");
    options.path("--out", "DIR", out_, "folder to write to").required();
    options.path("--detector", "FILE", detector_, "TOML file, which says whether it is a tracker or a calorimeter")
        .by_default("the configuration's, else the shipped trackml.toml, or hgcal.toml for [showers] or --showers");
    options.path("--config", "FILE", config_,
                 "TOML file whose section [simulation], or [showers] for a calorimeter, is used, such as a training's; "
                 "the other options override it");
    options.threads();
  }

  void run() override;

 private:
  struct Made {
    std::string name;
    std::int32_t hits, objects;
  };
  /// How to make an event and write it, and what the summary says.
  struct Task {
    std::function<Made(std::uint64_t number)> make;
    const char* objects;
    Range pileup;
    std::uint64_t seed;
    std::string detector;
  };

  void find_detector(Config* config);
  Task track_hits(Config* config) const;
  Task showers(Config* config) const;

  int events_ = 1;
  std::uint64_t first_ = 0;
  std::optional<Range> pileup_, showers_;
  std::optional<std::uint64_t> seed_;
  std::filesystem::path out_, detector_, config_;
};

/// Completes detector_, unless --detector was given: what the configuration names, else the shipped one of its
/// section, and without a configuration the calorimeter for --showers.
void Simulate::find_detector(Config* config) {
  bool calorimeter = showers_.has_value();
  if (config != nullptr) {
    calorimeter = config->has_section("showers") && !config->has_section("simulation");
    std::string configured;
    config->get(calorimeter ? "showers.detector" : "simulation.detector", configured);
    if (detector_.empty() && !configured.empty()) detector_ = config_.parent_path() / configured;
  }
  if (detector_.empty()) detector_ = shipped_file(calorimeter ? "detectors/hgcal.toml" : "detectors/trackml.toml");
}

Simulate::Task Simulate::track_hits(Config* config) const {
  if (showers_) {
    throw Error(ErrorKind::usage,
                "simulate: --showers: expected a calorimeter, and " + detector_.string() + " is a tracker");
  }
  SimulationSettings settings;
  if (config != nullptr) {
    settings = read_simulation_settings(*config);
    config->leave_to_others("showers");
  }
  if (pileup_) settings.pileup = *pileup_;
  if (seed_) settings.seed = *seed_;
  const Detector detector = read_detector(detector_);
  const auto make = [=, this](std::uint64_t number) {
    const Event event = simulate_event(detector, settings, number);
    const WritingFiles writing;
    write_event(out_, event);
    return Made{event.name, event.hits.size(), event.particles->size()};
  };
  return {make, "particles", settings.pileup, settings.seed, detector.name};
}

Simulate::Task Simulate::showers(Config* config) const {
  ShowerSettings settings;
  if (config != nullptr) {
    settings = read_shower_settings(*config);
    config->leave_to_others("simulation");
  }
  if (showers_) settings.showers = *showers_;
  if (pileup_) settings.pileup = *pileup_;
  if (seed_) settings.seed = *seed_;
  const ShowerDetector detector = read_shower_detector(detector_);
  const auto make = [=, this](std::uint64_t number) {
    const CalorimeterEvent event = simulate_showers(detector, settings, number);
    const WritingFiles writing;
    write_calorimeter_event(out_, event);
    return Made{event.name, event.hits.size(), event.showers->size()};
  };
  return {make, "showers", settings.pileup, settings.seed, detector.name};
}

void Simulate::run() {
  if (first_ + static_cast<std::uint64_t>(events_) > kEventNumbers) {
    throw Error(ErrorKind::usage, "simulate: --first " + std::to_string(first_) + " --events " +
                                      std::to_string(events_) + ": expected event numbers below " +
                                      std::to_string(kEventNumbers));
  }
  if (showers_ && (showers_->low != std::floor(showers_->low) || showers_->high != std::floor(showers_->high))) {
    throw Error(ErrorKind::usage, "simulate: --showers = " + text_of(*showers_) + ": expected whole numbers");
  }
  std::optional<Config> config;
  if (!config_.empty()) config = Config::load(config_);
  Config* const given = config ? &*config : nullptr;
  find_detector(given);
  const Task task = detector_kind(detector_) == DetectorKind::tracker ? track_hits(given) : showers(given);
  if (config) {
    for (const char* section :
         {"network", "graph", "target", "tracks", "training", "quantization", "pruning", "distillation", "compress",
          "stage", "sweep", "sample", "outputs", "loss", "features", "cuts"}) {
      config->leave_to_others(section);
    }
    config->finish();
  }
  make_output_folder(out_);

  std::int64_t hits = 0, objects = 0;
  std::string first, last;
  Progress progress;
  const auto count = static_cast<std::size_t>(events_);
  std::size_t finished = 0;
  in_flight(
      count, [&](std::size_t i) { return task.make(first_ + i); },
      [&](const Made& made) {
        hits += made.hits;
        objects += made.objects;
        if (first.empty()) first = made.name;
        last = made.name;
        progress.show(static_cast<double>(++finished) / static_cast<double>(count), "simulating");
      });
  std::printf("%d %s in %s, %s: on average %.0f hits and %.0f %s (pile-up %s, seed %llu, %s)\n", events_,
              events_ == 1 ? "event" : "events", out_.c_str(), (events_ == 1 ? first : first + " to " + last).c_str(),
              static_cast<double>(hits) / events_, static_cast<double>(objects) / events_, task.objects,
              text_of(task.pileup).c_str(), static_cast<unsigned long long>(task.seed), task.detector.c_str());
}

}  // namespace

std::unique_ptr<Command> simulate_command() { return std::make_unique<Simulate>(); }

}  // namespace starling::cli
