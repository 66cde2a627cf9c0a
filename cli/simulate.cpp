#include "starling/simulate.h"

#include <cstdio>

#include "commands.h"
#include "environment.h"
#include "in_flight.h"
#include "starling/config.h"
#include "starling/detector.h"

namespace starling::cli {

void simulate(const SimulateOptions& options) {
  SimulationSettings settings;
  std::filesystem::path detector_file = options.detector;
  if (!options.config.empty()) {
    Config config = Config::load(options.config);
    settings = read_simulation_settings(config);
    std::string configured;
    config.get("simulation.detector", configured);
    config.finish();
    if (detector_file.empty() && !configured.empty()) detector_file = options.config.parent_path() / configured;
  }
  if (detector_file.empty()) detector_file = shipped_file("detectors/trackml.toml");
  if (options.pileup) settings.pileup = *options.pileup;
  if (options.seed) settings.seed = *options.seed;
  const Detector detector = read_detector(detector_file);
  make_output_folder(options.out);

  struct Made {
    std::string name;
    std::int32_t hits, particles;
  };
  std::int64_t hits = 0, particles = 0;
  std::string first, last;
  Progress progress("simulating");
  const auto count = static_cast<std::size_t>(options.events);
  std::size_t finished = 0;
  in_flight(
      count,
      [&](std::size_t i) {
        const Event event = simulate_event(detector, settings, options.first + i);
        write_event(options.out, event);
        return Made{event.name, event.hits.size(), event.particles->size()};
      },
      [&](const Made& made) {
        hits += made.hits;
        particles += made.particles;
        if (first.empty()) first = made.name;
        last = made.name;
        progress.show(static_cast<double>(++finished) / static_cast<double>(count));
      });
  std::printf("%d %s in %s, %s to %s: on average %.0f hits and %.0f particles (pile-up %g, seed %llu, %s)\n",
              options.events, options.events == 1 ? "event" : "events", options.out.c_str(), first.c_str(),
              last.c_str(), static_cast<double>(hits) / options.events, static_cast<double>(particles) / options.events,
              settings.pileup, static_cast<unsigned long long>(settings.seed), detector.name.c_str());
}

}  // namespace starling::cli
