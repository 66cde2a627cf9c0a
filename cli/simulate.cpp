#include "starling/simulate.h"

#include <cstdio>

#include "command.h"
#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "starling/config.h"
#include "starling/detector.h"

namespace starling::cli {
namespace {

constexpr std::uint64_t kEventNumbers = 1'000'000'000;  // nine digits in a file's name

class Simulate final : public Command {
 public:
  Simulate()
      : Command("simulate", "Simulate events and write them as TrackML files.",
                "starling simulate --events 10 --pileup 200 --seed 1 --out events") {}

  void declare(Options& options) override {
    options.number("--events", events_, 1, 100'000'000, "how many events");
    options.number("--first", first_, std::uint64_t{0}, kEventNumbers - 1, "number of the first event");
    options.number("--pileup", pileup_, 0.0, 1000.0, "mean number of collisions beside the first").by_default("200");
    options.number("--seed", seed_, std::uint64_t{0}, ~std::uint64_t{0}, "seed of the random numbers").by_default("1");
    options.path("--out", "DIR", out_, "folder to write to").required();
    options.path("--detector", "FILE", detector_, "TOML file").by_default("the shipped detectors/trackml.toml");
    options.path("--config", "FILE", config_,
                 "TOML file whose section [simulation] is used, such as a training's; the other options override it");
    options.threads();
  }

  void run() override;

 private:
  SimulationSettings read_settings();

  int events_ = 1;
  std::uint64_t first_ = 0;
  std::optional<double> pileup_;
  std::optional<std::uint64_t> seed_;
  std::filesystem::path out_, detector_, config_;
};

// Also completes detector_.
SimulationSettings Simulate::read_settings() {
  SimulationSettings settings;
  if (!config_.empty()) {
    Config config = Config::load(config_);
    settings = read_simulation_settings(config);
    std::string configured;
    config.get("simulation.detector", configured);
    for (const char* section : {"network", "graph", "target", "tracks", "training"}) config.leave_to_others(section);
    config.finish();
    if (detector_.empty() && !configured.empty()) detector_ = config_.parent_path() / configured;
  }
  if (detector_.empty()) detector_ = shipped_file("detectors/trackml.toml");
  if (pileup_) settings.pileup = *pileup_;
  if (seed_) settings.seed = *seed_;
  return settings;
}

void Simulate::run() {
  if (first_ + static_cast<std::uint64_t>(events_) > kEventNumbers) {
    throw Error(ErrorKind::usage, "simulate: --first " + std::to_string(first_) + " --events " +
                                      std::to_string(events_) + ": expected event numbers below " +
                                      std::to_string(kEventNumbers));
  }
  const SimulationSettings settings = read_settings();
  const Detector detector = read_detector(detector_);
  make_output_folder(out_);

  struct Made {
    std::string name;
    std::int32_t hits, particles;
  };
  std::int64_t hits = 0, particles = 0;
  std::string first, last;
  Progress progress;
  const auto count = static_cast<std::size_t>(events_);
  std::size_t finished = 0;
  in_flight(
      count,
      [&](std::size_t i) {
        const Event event = simulate_event(detector, settings, first_ + i);
        const WritingFiles writing;
        write_event(out_, event);
        return Made{event.name, event.hits.size(), event.particles->size()};
      },
      [&](const Made& made) {
        hits += made.hits;
        particles += made.particles;
        if (first.empty()) first = made.name;
        last = made.name;
        progress.show(static_cast<double>(++finished) / static_cast<double>(count), "simulating");
      });
  std::printf("%d %s in %s, %s to %s: on average %.0f hits and %.0f particles (pile-up %g, seed %llu, %s)\n", events_,
              events_ == 1 ? "event" : "events", out_.c_str(), first.c_str(), last.c_str(),
              static_cast<double>(hits) / events_, static_cast<double>(particles) / events_, settings.pileup,
              static_cast<unsigned long long>(settings.seed), detector.name.c_str());
}

}  // namespace

std::unique_ptr<Command> simulate_command() { return std::make_unique<Simulate>(); }

}  // namespace starling::cli
