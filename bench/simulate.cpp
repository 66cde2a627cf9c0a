// Times simulated events in memory: processor time on one thread, wall-clock time on all of them.
//
//   build/release/bench/bench_simulate [EVENTS]

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "starling/error.h"
#include "starling/simulate.h"
#include "timing.h"

namespace {

using namespace starling;

void row(const char* what, double ms, double hits) {
  std::printf("%-34s %8.1f ms an event %8.0f hits %7.2f us a hit %6.1f events of 100,000 hits a second\n", what, ms,
              hits, 1e3 * ms / hits, 1e3 / (ms * 1e5 / hits));
}

}  // namespace

int main(int argc, char** argv) try {
  const int events = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const Detector detector = read_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml");
  print_machine();

  const auto measure = [&](const char* what, const SimulationSettings& settings) {
    double ms = 0, hits = 0;
    for (int i = 0; i < events; ++i) {
      const auto number = static_cast<std::uint64_t>(i);
      double best = std::numeric_limits<double>::infinity();
      for (int repeat = 0; repeat < 5; ++repeat) {
        const std::clock_t start = std::clock();
        simulate_event(detector, settings, number);
        best = std::min(best, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
      }
      ms += best / events;
      hits += simulate_event(detector, settings, number).hits.size() / static_cast<double>(events);
    }
    row(what, ms, hits);
  };
  SimulationSettings settings;
  measure("pile-up 200, one thread", settings);
  settings.overlaps = false;
  measure("the same without overlaps", settings);
  settings = {};
  settings.pileup = 0;
  measure("pile-up 0 (mostly noise)", settings);

  settings = {};
  const int threads = tbb::this_task_arena::max_concurrency(), many = 4 * threads;
  double hits = 0;
  for (int i = 0; i < many; ++i) {
    hits += simulate_event(detector, settings, static_cast<std::uint64_t>(i)).hits.size() / static_cast<double>(many);
  }
  const double ms = best_ms(3, [&] {
    tbb::parallel_for(0, many, [&](int i) { simulate_event(detector, settings, static_cast<std::uint64_t>(i)); });
  });
  row(("pile-up 200, " + std::to_string(threads) + " threads, wall").c_str(), ms / many, hits);
  return 0;
} catch (const starling::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return error.exit_code();
}
