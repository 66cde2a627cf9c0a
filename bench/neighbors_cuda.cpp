// Times knn(), the radius search and the gradient of the distances on the GPU: medians of CUDA events after
// warm-up, tree and search together.
//
//   build/release/bench/bench_neighbors_cuda [DATA N D K]     DATA: uniform, gaussian, cluster, tight or features
//
// bench/neighbors.py --device cuda --scan goes over N, D and k.
//
// Columns: milliseconds of plain calls (median, least) and of the same call replayed as a CUDA graph, workspace bytes
// per point beside the output, and the bytes of the output over the time.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cuda_timing.h"
#include "point_clouds.h"
#include "starling/device.h"
#include "starling/neighbors.h"
#include "timing.h"

namespace {

using namespace starling;
using namespace starling::bench;

NeighborSearch<float> search_of(const OnDevice<float>& points, std::int32_t n, int dimensions) {
  NeighborSearch<float> search;
  search.points = points.data();
  search.num_points = n;
  search.dimensions = dimensions;
  return search;
}

void measure(const Timer& timer, const std::string& data, std::int32_t n, int dimensions, int k) {
  constexpr int kRepeats = 15;
  const std::vector<float> points = clouds::named<float>(data, n, dimensions);
  const OnDevice<float> device(points.size());
  check(cudaMemcpy(device.data(), points.data(), points.size() * sizeof(float), cudaMemcpyHostToDevice));
  const NeighborSearch<float> search = search_of(device, n, dimensions);
  const std::size_t entries = static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
  const OnDevice<std::int32_t> index(entries), bad_row(1);
  const OnDevice<float> distance2(entries);
  const Execution execution = timer.on_stream(bad_row.data());
  const OnDevice<std::byte> workspace(knn_workspace_bytes(search, k, execution));
  const auto call = [&] { knn(search, k, index.data(), distance2.data(), workspace.span(), execution); };
  const auto plain = timer.run(kRepeats, call);
  const auto graph = timer.run_graph(kRepeats, call);
  std::printf("%-8s %9d %3d %4d | %8.3f %8.3f %8.3f | %6.1f | %6.0f\n", data.c_str(), n, dimensions, k,
              plain[kRepeats / 2], plain[0], graph[kRepeats / 2], static_cast<double>(workspace.span().size()) / n,
              8e-6 * static_cast<double>(entries) / plain[kRepeats / 2]);
  std::fflush(stdout);
}

/// Gradient and tangent of the distances of knn(): random weights and tangents.
void measure_gradient(const Timer& timer, const std::string& data, std::int32_t n, int dimensions, int k) {
  const std::vector<float> points = clouds::named<float>(data, n, dimensions);
  const std::size_t entries = static_cast<std::size_t>(n) * static_cast<std::size_t>(k);
  const std::vector<float> weights = clouds::uniform<float>(n, k, 2);
  const OnDevice<float> device(points.size()), weight(entries), distance2(entries), gradient(points.size());
  check(cudaMemcpy(device.data(), points.data(), points.size() * sizeof(float), cudaMemcpyHostToDevice));
  check(cudaMemcpy(weight.data(), weights.data(), entries * sizeof(float), cudaMemcpyHostToDevice));
  const OnDevice<std::int32_t> index(entries), bad_row(1);
  const NeighborSearch<float> search = search_of(device, n, dimensions);
  const Execution execution = timer.on_stream(bad_row.data());
  const OnDevice<std::byte> search_workspace(knn_workspace_bytes(search, k, execution));
  knn(search, k, index.data(), distance2.data(), search_workspace.span(), execution);
  NeighborLists<float> lists;
  lists.points = device.data();
  lists.num_points = n;
  lists.dimensions = dimensions;
  lists.index = index.data();
  lists.k = k;
  const OnDevice<std::byte> workspace(distance_gradient_workspace_bytes(lists, execution));
  const auto back = timer.run(15, [&] {
    distance_gradient<float>(lists, weight.data(), gradient.data(), nullptr, workspace.span(), execution);
  });
  const auto along =
      timer.run(15, [&] { distance_tangent<float>(lists, gradient.data(), nullptr, distance2.data(), execution); });
  std::printf("gradient, %s, N %d, D %d, k %d: %.3f ms (workspace %.1f bytes per entry), tangent %.3f ms\n",
              data.c_str(), n, dimensions, k, back[7],
              static_cast<double>(workspace.span().size()) / static_cast<double>(entries), along[7]);
}

void measure_radius(const Timer& timer, const char* data, const std::vector<float>& points, int dimensions,
                    double radius, std::int32_t max_neighbors) {
  const auto n = static_cast<std::int32_t>(points.size()) / dimensions;
  const OnDevice<float> device(points.size());
  check(cudaMemcpy(device.data(), points.data(), points.size() * sizeof(float), cudaMemcpyHostToDevice));
  NeighborSearch<float> search = search_of(device, n, dimensions);
  search.max_radius = radius;
  const auto rows = static_cast<std::size_t>(n);
  const OnDevice<std::int32_t> count(rows), bad_row(1);
  const Execution execution = timer.on_stream(bad_row.data());
  const OnDevice<std::byte> workspace(radius_workspace_bytes(search, execution));
  const auto call = [&] {
    radius_count<float>(search, max_neighbors, count.data(), nullptr, workspace.span(), execution);
  };
  const auto counting = timer.run(15, call);
  std::vector<std::int32_t> counts(rows);
  check(cudaMemcpy(counts.data(), count.data(), rows * sizeof(std::int32_t), cudaMemcpyDeviceToHost));
  std::vector<std::int64_t> splits(rows + 1, 0);
  for (std::size_t i = 0; i < rows; ++i) splits[i + 1] = splits[i] + counts[i];
  const OnDevice<std::int64_t> device_splits(splits.size());
  check(cudaMemcpy(device_splits.data(), splits.data(), splits.size() * sizeof(std::int64_t), cudaMemcpyHostToDevice));
  const auto entries = static_cast<std::size_t>(splits.back());
  const OnDevice<std::int32_t> index(entries);
  const OnDevice<float> distance2(entries);
  const auto filling = timer.run(15, [&] {
    radius_fill<float>(search, device_splits.data(), index.data(), distance2.data(), workspace.span(), execution);
  });
  std::printf("radius graph, %s, N %d, D %d, %.1f neighbours each: count %.3f ms, fill %.3f ms\n", data, n, dimensions,
              static_cast<double>(entries) / n, counting[7], filling[7]);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    require_cuda();
    cudaDeviceProp device{};
    check(cudaGetDeviceProperties(&device, 0));
    int driver = 0, runtime = 0;
    check(cudaDriverGetVersion(&driver));
    check(cudaRuntimeGetVersion(&runtime));
    print_machine();
    std::printf("GPU: %s, %d multiprocessors; CUDA driver %d.%d, runtime %d.%d\n", device.name,
                device.multiProcessorCount, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    std::printf("%-8s %9s %3s %4s | %8s %8s %8s | %6s | %6s\n", "data", "N", "D", "k", "ms", "least", "graph", "B/N",
                "GB/s");
    const Timer timer;
    if (argc > 4) {
      measure(timer, argv[1], std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]));
      return 0;
    }
    for (const char* const data : {"uniform", "cluster", "tight"}) measure(timer, data, 200'000, 4, 64);
    for (const char* const data : {"uniform", "cluster"}) measure(timer, data, 200'000, 3, 40);
    for (const char* const data : {"cluster", "uniform"}) measure(timer, data, 200'000, 8, 64);
    for (const char* const data : {"uniform", "cluster"}) measure(timer, data, 1'000'000, 4, 64);
    measure(timer, "uniform", 1'000, 4, 64);
    for (const int dimensions : {12, 16}) measure(timer, "cluster", 200'000, dimensions, 64);
    for (const int k : {128, 129, 512, 513, 1024}) measure(timer, "cluster", 200'000, 4, k);
    for (const char* const data : {"gaussian", "features"})
      for (const int dimensions : {32, 64, 128, 256}) measure(timer, data, 200'000, dimensions, 40);
    measure_radius(timer, "uniform", clouds::uniform<float>(200'000, 3, 1), 3, 0.0363, 200'000);
    measure_radius(timer, "all within", clouds::uniform<float>(200'000, 3, 1), 3, 2, 32);
    measure_radius(timer, "coincident", std::vector<float>(3 * 200'000, 0.25F), 3, 1, 32);
    for (const char* const data : {"uniform", "cluster"}) measure_gradient(timer, data, 200'000, 4, 64);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
