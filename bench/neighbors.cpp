// Times knn() on the host beside nanoflann on the same points, k and threads: building and asking together. Then the
// two calls of a radius search, without a peer.
//
//   build/release/bench/bench_neighbors [DATA N D K [THREADS]]     DATA: uniform, cluster or tight
//
// Columns: milliseconds by the clock and of processor time, summed over threads, of each, and the ratios. A machine
// that does other work as well shows in the clock, hardly in processor time. Both answers are compared.

#include "neighbors.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "point_clouds.h"
#include "starling/device.h"
#include "starling/neighbors.h"
#include "timing.h"

namespace {

using namespace starling;

struct Times {
  double wall_ms = std::numeric_limits<double>::infinity();
  double processor_ms = std::numeric_limits<double>::infinity();
};

template <class Action>
Times best(int repeats, Action action) {
  Times times;
  times.wall_ms = best_ms(repeats, [&] {
    const std::clock_t start = std::clock();
    action();
    times.processor_ms = std::min(times.processor_ms, 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  });
  return times;
}

void measure(const std::string& data, std::int32_t n, int dimensions, int k) {
  const std::vector<float> points = clouds::named<float>(data, n, dimensions);
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = n;
  search.dimensions = dimensions;
  const std::size_t entries = static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
  std::vector<std::int32_t> index(entries);
  std::vector<std::int32_t> peer_index(entries);
  std::vector<float> distance2(entries);
  std::vector<float> peer_distance2(entries);
  std::vector<std::byte> workspace(knn_workspace_bytes(search, k));
  const Times ours = best(3, [&] { knn(search, k, index.data(), distance2.data(), std::span(workspace)); });
  const Times peer =
      best(2, [&] { nanoflann_knn(points.data(), n, dimensions, k, peer_index.data(), peer_distance2.data()); });
  std::size_t differing = 0;
  for (std::size_t i = 0; i < entries; ++i) {
    if (!(std::abs(distance2[i] - peer_distance2[i]) <= 1e-5F * peer_distance2[i])) ++differing;
  }
  std::printf("%-8s %9d %3d %4d | %9.1f %9.1f | %9.1f %9.1f | %6.2fx %6.2fx | %7.0f | %zu\n", data.c_str(), n,
              dimensions, k, ours.wall_ms, ours.processor_ms, peer.wall_ms, peer.processor_ms,
              peer.wall_ms / ours.wall_ms, peer.processor_ms / ours.processor_ms,
              static_cast<double>(workspace.size()) / n, differing);
  std::fflush(stdout);
}

void measure_radius(const char* data, const std::vector<float>& points, int dimensions, double radius,
                    std::int32_t max_neighbors) {
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = static_cast<std::int32_t>(points.size()) / dimensions;
  search.dimensions = dimensions;
  search.max_radius = radius;
  const auto rows = static_cast<std::size_t>(search.num_points);
  std::vector<std::int32_t> count(rows), found(rows);
  std::vector<std::byte> workspace(radius_workspace_bytes(search));
  const double count_ms =
      best_ms(3, [&] { radius_count(search, max_neighbors, count.data(), found.data(), std::span(workspace)); });
  std::vector<std::int64_t> splits(rows + 1, 0);
  std::partial_sum(count.begin(), count.end(), splits.begin() + 1, std::plus<std::int64_t>());
  std::vector<std::int32_t> index(static_cast<std::size_t>(splits.back()));
  std::vector<float> distance2(index.size());
  const double fill_ms =
      best_ms(3, [&] { radius_fill(search, splits.data(), index.data(), distance2.data(), std::span(workspace)); });
  const auto all = std::accumulate(found.begin(), found.end(), std::int64_t{0});
  std::printf("radius, %s, N %zu, D %d: %.1f within each, %.1f written: count %.1f ms, fill %.1f ms\n", data, rows,
              dimensions, static_cast<double>(all) / static_cast<double>(rows),
              static_cast<double>(splits.back()) / static_cast<double>(rows), count_ms, fill_ms);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int threads = argc > 5 ? std::atoi(argv[5]) : static_cast<int>(std::thread::hardware_concurrency());
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    print_machine();
    std::printf("peer: nanoflann %s, -O3 -march=native, leaves of 10; instructions: %s; threads: %d\n",
                nanoflann_version().c_str(), to_string(simd_level()).c_str(), threads);
    std::printf("%-8s %9s %3s %4s | %9s %9s | %9s %9s | %7s %7s | %7s | %s\n", "data", "N", "D", "k", "ms", "cpu ms",
                "peer ms", "cpu ms", "ratio", "cpu", "bytes/N", "d² that differ");
    arena.execute([&] {
      if (argc > 4) {
        measure(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]));
        return;
      }
      for (const char* const data : {"uniform", "cluster", "tight"}) measure(data, 200'000, 4, 64);
      for (const char* const data : {"uniform", "cluster"}) measure(data, 200'000, 3, 40);
      for (const char* const data : {"uniform", "cluster"}) measure(data, 50'000, 8, 64);
      measure("uniform", 100'000, 3, 16);
      measure("uniform", 1'000, 4, 64);
      measure_radius("uniform", clouds::uniform<float>(200'000, 3, 1), 3, 0.0363, 200'000);
      measure_radius("all within", clouds::uniform<float>(100'000, 3, 1), 3, 2, 32);
      measure_radius("coincident", std::vector<float>(3 * 100'000, 0.25F), 3, 1, 32);
    });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
