#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

/// One line on what the figures below it were measured on.
inline void print_machine() {
  std::string model = "unknown processor";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  }
#if defined(__clang__)
  const char* const compiler = "clang " __clang_version__;
#else
  const char* const compiler = "gcc " __VERSION__;
#endif
  std::printf("machine: %s, %u threads; compiler: %s\n", model.c_str(), std::thread::hardware_concurrency(), compiler);
}

/// The shortest of `repeats` runs, in milliseconds: what is left when nothing else disturbs.
template <class Action>
double best_ms(int repeats, Action action) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    action();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
  }
  return best;
}

/// The shortest of several runs: on the wall clock and in processor time of all threads, which a busy machine disturbs
/// less.
struct Times {
  double wall_ms = 0., cpu_ms = 0.;
};
template <class Action>
Times best_times(int repeats, Action action) {
  Times best;
  best.wall_ms = best_ms(repeats, [&] {
    const std::clock_t start = std::clock();
    action();
    const double ms = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    best.cpu_ms = best.cpu_ms == 0. ? ms : std::min(best.cpu_ms, ms);
  });
  return best;
}
