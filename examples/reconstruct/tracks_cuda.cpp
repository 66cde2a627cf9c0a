// From hits to tracks on a CUDA device, on a stream and in memory of this program: what a framework does with its own.
// (TrackSession(finder, Device::cuda) does all of it in one call.)
#include <cuda_runtime_api.h>
#include <starling/error.h>
#include <starling/event.h>
#include <starling/track_finder.h>
#include <starling/tracks.h>

#include <cstdio>
#include <new>
#include <vector>

namespace {

template <typename T>
std::span<T> lend(std::size_t count) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, (count + 1) * sizeof(T)) != cudaSuccess) throw std::bad_alloc();
  return {static_cast<T*>(memory), count};
}
template <typename T>
std::span<const T> to_device(const std::vector<T>& values) {
  const std::span<T> memory = lend<T>(values.size());
  cudaMemcpy(memory.data(), values.data(), memory.size_bytes(), cudaMemcpyHostToDevice);
  return memory;
}
template <typename T>
std::vector<T> to_host(const T* memory, std::size_t count) {
  std::vector<T> values(count);
  cudaMemcpy(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost);
  return values;
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace starling;
  if (argc != 4) return std::fprintf(stderr, "usage: reconstruct_tracks_cuda MODEL EVENT TRACKS.csv\n"), 2;
  require_cuda();
  const TrackFinder finder = TrackFinder::load(argv[1]);
  const Event event = read_event(argv[2]);
  const Hits& hits = event.hits;
  const auto count = static_cast<std::size_t>(hits.size());
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);

  // Once: the model, and room for the largest event that is expected.
  const TrackCudaPlan plan(finder, NumberType::float32,
                           lend<std::byte>(TrackCudaPlan::model_bytes(finder, NumberType::float32)));
  const HitGraphCapacity capacity{.doublets = 1 << 20, .edges = 1 << 17, .triplets = 1 << 18};
  const std::span<std::byte> workspace = lend<std::byte>(plan.workspace_bytes(hits.size(), capacity));
  const TracksMemory tracks{lend<std::int32_t>(count + 1).data(), lend<std::int32_t>(count).data(),
                            lend<std::int32_t>(1).data()};
  HitGraphCounts* const counts = lend<HitGraphCounts>(1).data();

  // Per event: nothing is allocated, and nothing waits.
  const HitsView view{to_device(hits.x),         to_device(hits.y),        to_device(hits.z),
                      to_device(hits.volume_id), to_device(hits.layer_id), to_device(hits.module_id)};
  plan.run(view, capacity, counts, tracks, workspace, {.device = Device::cuda, .stream = stream});
  cudaStreamSynchronize(stream);

  if (!fits(to_host(counts, 1)[0], capacity, hits.size())) return std::fprintf(stderr, "more capacity is needed\n"), 1;
  Tracks found;
  found.row_splits = to_host(tracks.row_splits, static_cast<std::size_t>(to_host(tracks.count, 1)[0]) + 1);
  found.hits = to_host(tracks.hits, static_cast<std::size_t>(found.row_splits.back()));
  write_tracks(argv[3], hits, found);
  std::printf("%d hits, %d tracks\n", hits.size(), found.size());
  return 0;
} catch (const starling::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return error.exit_code();
}
