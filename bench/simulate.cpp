// Times simulated events in memory: processor time on one thread, wall-clock time on all of them.
//
//   build/release/bench/bench_simulate [EVENTS]

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "starling/error.h"
#include "starling/showers.h"
#include "starling/simulate.h"
#include "timing.h"

namespace {

using namespace starling;

void row(const std::string& what, double ms, double hits) {
  std::printf("%-48s %8.1f ms per event %8.0f hits %7.2f us per hit %6.1f events of 100,000 hits per second\n",
              what.c_str(), ms, hits, 1e3 * ms / hits, 1e3 / (ms * 1e5 / hits));
}

/// `simulate(number)` returns the number of hits.
template <class Simulate>
void one_thread(const std::string& what, int events, const Simulate& simulate) {
  double ms = 0, hits = 0;
  for (int i = 0; i < events; ++i) {
    const auto number = static_cast<std::uint64_t>(i);
    double best = std::numeric_limits<double>::infinity();
    for (int repeat = 0; repeat < 5; ++repeat) {
      const std::clock_t start = std::clock();
      simulate(number);
      best = std::min(best, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    ms += best / events;
    hits += simulate(number) / static_cast<double>(events);
  }
  row(what + ", one thread", ms, hits);
}

template <class Simulate>
void all_threads(const std::string& what, const Simulate& simulate) {
  const int threads = tbb::this_task_arena::max_concurrency(), many = 4 * threads;
  double hits = 0;
  for (int i = 0; i < many; ++i) hits += simulate(static_cast<std::uint64_t>(i)) / static_cast<double>(many);
  const double ms =
      best_ms(3, [&] { tbb::parallel_for(0, many, [&](int i) { simulate(static_cast<std::uint64_t>(i)); }); });
  row(what + ", " + std::to_string(threads) + " threads, wall", ms / many, hits);
}

}  // namespace

int main(int argc, char** argv) try {
  const int events = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const std::filesystem::path folder = std::filesystem::path(STARLING_SOURCE_DIR) / "detectors";
  print_machine();

  const Detector tracker = read_detector(folder / "trackml.toml");
  const auto tracks = [&](const SimulationSettings& settings) {
    return [&tracker, settings](std::uint64_t number) { return simulate_event(tracker, settings, number).hits.size(); };
  };
  SimulationSettings settings;
  one_thread("tracker, pile-up 200", events, tracks(settings));
  all_threads("tracker, pile-up 200", tracks(settings));
  settings.overlaps = false;
  one_thread("tracker, pile-up 200, no overlaps", events, tracks(settings));
  settings = {};
  settings.pileup = 0;
  one_thread("tracker, pile-up 0 (mostly noise)", events, tracks(settings));

  const ShowerDetector calorimeter = read_shower_detector(folder / "hgcal.toml");
  const auto showers = [&](const Range& pileup, double count) {
    ShowerSettings made;
    made.pileup = pileup;
    made.showers = count;
    return
        [&calorimeter, made](std::uint64_t number) { return simulate_showers(calorimeter, made, number).hits.size(); };
  };
  one_thread("calorimeter, 30 showers", events, showers(0, 30));
  one_thread("calorimeter, 100 showers", events, showers(0, 100));
  one_thread("calorimeter, 30 showers, pile-up 200", events, showers(200, 30));
  all_threads("calorimeter, 30 showers, pile-up 200", showers(200, 30));
  return 0;
} catch (const starling::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return error.exit_code();
}
