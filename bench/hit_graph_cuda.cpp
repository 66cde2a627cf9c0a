// Times hit graphs on the GPU: medians of CUDA events after warm-up, as a CUDA graph and by itself, beside one core of
// the host, which must give the same bytes.
//
//   build/release/bench/bench_hit_graph_cuda [EVENT…]
//
// Windows and scales are those of models/tracking.safetensors. Without arguments the events are 1001 and 1005 of
// ../shared/data/trackml_full, or of where STARLING_DATA says.
#include <oneapi/tbb/task_arena.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "cuda_timing.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/track_finder.h"
#include "timing.h"

using namespace starling;
using namespace starling::bench;
namespace fs = std::filesystem;

namespace {

template <typename T>
void upload(std::span<const T> values, const OnDevice<T>& to) {
  check(cudaMemcpy(to.data(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
}

template <typename T>
bool holds(const OnDevice<T>& array, const std::vector<T>& expected) {
  std::vector<T> found(expected.size());
  check(cudaMemcpy(found.data(), array.data(), found.size() * sizeof(T), cudaMemcpyDeviceToHost));
  return std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)) == 0;
}

void run(const fs::path& prefix, const TrackFinder& finder, const Timer& timer) {
  const Event event = read_event(prefix, {.truth = false});
  const HitsView hits = event.hits;
  HitGraph host;
  const Times host_times = best_times(
      3, [&] { tbb::task_arena(1).execute([&] { build_hit_graph(hits, finder.windows, finder.scales, host); }); });

  const auto n = static_cast<std::size_t>(hits.size());
  const OnDevice<float> x(n), y(n), z(n);
  const OnDevice<std::int32_t> volume(n), layer_id(n), module(n);
  upload(hits.x, x);
  upload(hits.y, y);
  upload(hits.z, z);
  upload(hits.volume_id, volume);
  upload(hits.layer_id, layer_id);
  upload(hits.module_id, module);
  const HitsView on_device{x.span(), y.span(), z.span(), volume.span(), layer_id.span(), module.span()};

  const OnDevice<std::byte> windows(HitGraphCudaPlan::windows_bytes(finder.windows));
  const HitGraphCudaPlan plan(finder.windows, finder.scales, windows.span());
  const auto room = [](std::size_t count) { return static_cast<std::int32_t>(count + count / 4); };
  const HitGraphCapacity capacity{room(8 * host.edges.src.size()), room(host.edges.src.size()),
                                  room(host.triplets.edges.size())};
  const auto edges = static_cast<std::size_t>(capacity.edges);
  const OnDevice<std::int32_t> src(edges), dst(edges), layer(n), order(n), splits(edges + 1),
      triplets(static_cast<std::size_t>(capacity.triplets)), edge_count(1);
  const OnDevice<float> node_features(n * kNodeFeatures), edge_features(edges * kEdgeFeatures);
  const OnDevice<HitGraphCounts> counts(1);
  const HitGraphMemory memory{src.data(),    dst.data(),       node_features.data(), edge_features.data(),
                              layer.data(),  order.data(),     splits.data(),        triplets.data(),
                              counts.data(), edge_count.data()};
  const OnDevice<std::byte> workspace(plan.workspace_bytes(hits.size(), capacity));
  const auto build = [&] { plan.run(on_device, capacity, memory, workspace.span(), timer.on_stream()); };
  const auto alone = timer.run(101, build), graph = timer.run_graph(101, build);

  HitGraphCounts found;
  check(cudaMemcpy(&found, counts.data(), sizeof(found), cudaMemcpyDeviceToHost));
  const bool equal = fits(found, capacity, hits.size()) &&
                     found.edges == static_cast<std::int32_t>(host.edges.size()) && holds(src, host.edges.src) &&
                     holds(dst, host.edges.dst) && holds(order, host.order) &&
                     holds(node_features, host.node_features) && holds(edge_features, host.edge_features) &&
                     holds(splits, host.triplets.row_splits) && holds(triplets, host.triplets.edges);
  std::printf(
      "%-16s %7d hits %8d doublets %7d edges %7d triplets: %7.3f ms, as a graph %7.3f, one core %7.1f, %s; "
      "%.1f MB\n",
      event.name.c_str(), hits.size(), found.doublets, found.edges, found.triplets, alone[50], graph[50],
      host_times.cpu_ms, equal ? "equal" : "NOT EQUAL", static_cast<double>(workspace.span().size()) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    print_machine();
    require_cuda();
    const TrackFinder finder = TrackFinder::load(fs::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
    const Timer timer;
    std::vector<fs::path> events(argv + 1, argv + argc);
    if (events.empty()) {
      const char* const set = std::getenv("STARLING_DATA");
      const fs::path data =
          set != nullptr ? fs::path(set) : fs::path(STARLING_SOURCE_DIR).parent_path() / "shared" / "data";
      for (const char* const name : {"event000001001", "event000001005"})
        events.push_back(data / "trackml_full" / name);
    }
    for (const fs::path& event : events) run(event, finder, timer);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_hit_graph_cuda: %s\n", error.what());
    return 1;
  }
}
