// Times track finding on the GPU: stage by stage and as one CUDA graph, hits in device memory to tracks in device
// memory, for each number type; then sessions, hits in host memory to tracks in host memory, with one and several
// events in flight; beside them the CPU. Medians after warm-up.
//
//   build/release/bench/bench_tracks_runtime_cuda [MODEL [EVENT [REPEATS]]]
//
// Without arguments: models/tracking.safetensors, event 1005 of ../shared/data or of where STARLING_DATA says, 25
// repeats.
#include <oneapi/tbb/task_arena.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

#include "cuda_timing.h"
#include "memory/layout.h"
#include "starling/event.h"
#include "starling/track_finder.h"
#include "timing.h"
#include "track_finder/chain.h"

namespace {

using namespace starling;
using namespace starling::bench;
namespace fs = std::filesystem;

int repeats = 25;
template <typename T>
T median(std::vector<T> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

fs::path event_1005() {
  const char* const set = std::getenv("STARLING_DATA");
  const fs::path data =
      set != nullptr ? fs::path(set) : fs::path(STARLING_SOURCE_DIR).parent_path() / "shared" / "data";
  return data / "trackml_full" / "event000001005";
}

struct Answer {
  Tracks tracks;
  std::vector<float> scores;
};

/// One thread of the CPU, stage by stage.
Answer on_one_thread(const TrackFinder& finder, const Hits& hits) {
  Answer answer;
  TrackSession session(finder);
  std::vector<double> graph, network, tracks;
  tbb::task_arena(1).execute([&] {
    for (int i = -1; i < std::max(1, repeats / 4); ++i) {
      answer.tracks = session.run(hits);
      const TrackSession::Found found = session.found();
      answer.scores.assign(found.scores.begin(), found.scores.end());
      if (i < 0) continue;
      graph.push_back(1e3 * found.graph_seconds);
      network.push_back(1e3 * found.network_seconds);
      tracks.push_back(1e3 * found.tracks_seconds);
    }
  });
  std::printf("%-28s %9.2f %9.2f %9.2f %9.2f\n", "CPU, one thread", median(graph), median(network), median(tracks),
              median(graph) + median(network) + median(tracks));
  return answer;
}

/// Hits in device memory to tracks in device memory.
void on_device(const TrackFinder& finder, const Hits& hits, const Answer& exact, NumberType type, const Timer& timer) {
  const auto count = static_cast<std::size_t>(hits.size());
  const OnDevice<float> x(count), y(count), z(count);
  const OnDevice<std::int32_t> volume_id(count), layer_id(count), module_id(count);
  const auto upload = [&](const auto& from, const auto& to) {
    check(cudaMemcpy(to.data(), from.data(), from.size() * sizeof(from[0]), cudaMemcpyHostToDevice));
  };
  upload(hits.x, x), upload(hits.y, y), upload(hits.z, z);
  upload(hits.volume_id, volume_id), upload(hits.layer_id, layer_id), upload(hits.module_id, module_id);
  const HitsView view{x.span(), y.span(), z.span(), volume_id.span(), layer_id.span(), module_id.span()};

  const OnDevice<std::byte> model(track_finder::Chain::model_bytes(finder, type));
  const track_finder::Chain chain(finder, type, model.span());
  const HitGraphCapacity capacity{8 * hits.size(), hits.size(), 2 * hits.size()};
  memory::Layout measured;
  chain.lay_out(measured, hits.size(), capacity);
  const OnDevice<std::byte> memory(measured.bytes());
  memory::Layout layout(memory.span());
  const track_finder::ChainMemory arrays = chain.lay_out(layout, hits.size(), capacity);
  const OnDevice<std::int32_t> row_splits(count + 1), on_tracks(count), track_count(1);
  const TracksMemory tracks{row_splits.data(), on_tracks.data(), track_count.data()};

  const Execution execution = timer.on_stream();
  HitGraphView graph;
  const auto build = [&] { graph = chain.build_graph(view, capacity, arrays, execution); };
  const auto score = [&] { chain.score(graph, arrays, execution); };
  const auto find = [&] { chain.find_tracks(graph, arrays, tracks, execution); };
  const auto all = [&] { build(), score(), find(); };
  all();
  check(cudaStreamSynchronize(timer.stream));
  HitGraphCounts counts;
  check(cudaMemcpy(&counts, arrays.graph.counts, sizeof(counts), cudaMemcpyDeviceToHost));
  if (!fits(counts, capacity, hits.size())) throw std::runtime_error("the graph does not fit the capacity");
  std::vector<float> scores(static_cast<std::size_t>(counts.edges));
  check(cudaMemcpy(scores.data(), arrays.scores, scores.size() * sizeof(float), cudaMemcpyDeviceToHost));
  std::int32_t found = 0;
  check(cudaMemcpy(&found, track_count.data(), sizeof(found), cudaMemcpyDeviceToHost));
  double largest = 0;
  for (std::size_t i = 0; i < std::min(scores.size(), exact.scores.size()); ++i) {
    largest = std::max(largest, std::abs(double{scores[i]} - double{exact.scores[i]}));
  }

  const auto ms = [&](const auto& action) { return static_cast<double>(median(timer.run(repeats, action))); };
  const double graph_ms = ms(build), network_ms = ms(score), tracks_ms = ms(find), stream_ms = ms(all);
  const auto graph_of_all = static_cast<double>(median(timer.run_graph(repeats, all)));
  std::printf(
      "%-28s %9.3f %9.3f %9.3f %9.3f %9.3f   %d edges, %d tracks, largest difference of a score %.2g; %.1f MB\n",
      ("GPU, " + to_string(type)).c_str(), graph_ms, network_ms, tracks_ms, stream_ms, graph_of_all, counts.edges,
      found, largest, static_cast<double>(memory.span().size()) / 1e6);
}

/// Events per second of so many threads, each with a session of its own, hits on the host to tracks on the host.
void in_flight(const TrackFinder& finder, const Hits& hits, const Answer& exact, Device device, NumberType type,
               int threads) {
  std::vector<std::unique_ptr<TrackSession>> sessions;
  for (int i = 0; i < threads; ++i) sessions.push_back(std::make_unique<TrackSession>(finder, device, type));
  const int events = device == Device::cuda ? 8 * repeats * threads : 2 * threads;
  std::atomic<int> next = -2 * threads;
  std::atomic<int> different = 0;
  std::atomic<std::int64_t> begin = 0;
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  std::vector<double> latency;
  const auto work = [&](int self) {
    tbb::task_arena(1).execute([&] {
      for (int i = next++; i < events; i = next++) {
        if (i == 0) begin = now();
        const double ms = best_ms(1, [&] {
          const Tracks tracks = sessions[static_cast<std::size_t>(self)]->run(hits);
          if (tracks.hits != exact.tracks.hits || tracks.row_splits != exact.tracks.row_splits) ++different;
        });
        if (self == 0 && i >= 0) latency.push_back(ms);
      }
    });
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back(work, i);
  for (std::thread& worker : workers) worker.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::duration(now() - begin)).count();
  std::size_t bytes = 0;
  for (const auto& session : sessions) bytes += session->device_bytes();
  std::printf("%-28s %9.1f events/s, %.2f ms per event",
              (device == Device::cuda ? "GPU, " + to_string(type) : "CPU").c_str(), events / seconds, median(latency));
  std::printf(", %d in flight, %.1f MB of the GPU's memory, %d of %d with other tracks than the CPU's\n", threads,
              static_cast<double>(bytes) / 1e6, different.load(), events + 2 * threads);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  const TrackFinder finder = TrackFinder::load(
      argc > 1 ? fs::path(argv[1]) : fs::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
  const Event event = read_event(argc > 2 ? fs::path(argv[2]) : event_1005(), {.truth = false});
  if (argc > 3) repeats = std::max(1, std::atoi(argv[3]));
  print_machine();
  const Timer timer;
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0));
  std::printf("%s; %s, %d hits\n\n", device.name, event.name.c_str(), event.hits.size());
  std::printf("%-28s %9s %9s %9s %9s %9s   hits to tracks, ms\n", "", "graph", "network", "tracks", "all", "as graph");
  const Answer exact = on_one_thread(finder, event.hits);
  for (const NumberType type : {NumberType::float32, NumberType::half, NumberType::bfloat16}) {
    on_device(finder, event.hits, exact, type, timer);
  }
  std::printf("\n");
  in_flight(finder, event.hits, exact, Device::cpu, NumberType::float32,
            static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  for (const NumberType type : {NumberType::float32, NumberType::half}) {
    for (const int threads : {1, 2, 4, 8}) in_flight(finder, event.hits, exact, Device::cuda, type, threads);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
