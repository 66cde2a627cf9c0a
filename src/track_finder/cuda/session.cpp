#include "track_finder/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cuda/session.h"
#include "memory/layout.h"
#include "starling/error.h"
#include "track_finder/chain.h"

namespace starling::track_finder {
namespace {

using starling::cuda::call;

class Mark {
 public:
  Mark() { call(cudaEventCreate(&event_)); }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  ~Mark() { cudaEventDestroy(event_); }

  void set(cudaStream_t stream) const { call(cudaEventRecord(event_, stream)); }
  double seconds_since(const Mark& earlier) const {
    float milliseconds = 0;
    call(cudaEventElapsedTime(&milliseconds, earlier.event_, event_));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// What is copied to the device and from it: on host and device laid out alike, so that one copy moves each part.
struct Exchanged {
  float *x, *y, *z;
  std::int32_t *volume_id, *layer_id, *module_id;
  HitGraphCounts* counts;
  TracksMemory tracks;
  std::int32_t num_hits;

  Exchanged(memory::Layout& layout, std::int32_t hits) : num_hits(hits) {
    const auto count = static_cast<std::size_t>(hits);
    for (float** const column : {&x, &y, &z}) *column = layout.take<float>(count);
    for (std::int32_t** const column : {&volume_id, &layer_id, &module_id}) *column = layout.take<std::int32_t>(count);
    counts = layout.take<HitGraphCounts>(1);
    tracks.count = layout.take<std::int32_t>(1);
    tracks.row_splits = layout.take<std::int32_t>(count + 1);
    tracks.hits = layout.take<std::int32_t>(count);
  }

  std::span<std::byte> sent() const { return between(x, module_id + num_hits); }
  std::span<std::byte> received() const { return between(counts, tracks.hits + num_hits); }
  HitsView hits() const {
    const auto count = static_cast<std::size_t>(num_hits);
    return {{x, count}, {y, count}, {z, count}, {volume_id, count}, {layer_id, count}, {module_id, count}};
  }
  void set(const HitsView& hits) const {
    const auto copy = [](const auto& from, auto* to) { std::copy(from.begin(), from.end(), to); };
    copy(hits.x, x), copy(hits.y, y), copy(hits.z, z);
    copy(hits.volume_id, volume_id), copy(hits.layer_id, layer_id), copy(hits.module_id, module_id);
  }
  Tracks found() const {
    Tracks result;
    result.row_splits.assign(tracks.row_splits, tracks.row_splits + *tracks.count + 1);
    result.hits.assign(tracks.hits, tracks.hits + result.row_splits.back());
    return result;
  }

 private:
  static std::span<std::byte> between(void* begin, void* end) {
    auto* const first = static_cast<std::byte*>(begin);
    return {first, static_cast<std::byte*>(end)};
  }
};

class CudaRunner final : public Runner {
 public:
  CudaRunner(const TrackFinder& finder, NumberType type)
      : chain_(finder, type, model_.at_least(Chain::model_bytes(finder, type), ErrorKind::device)) {}

  Tracks run(const HitsView& hits) override {
    hits.check();
    counts_ = {};
    num_hits_ = 0;
    if (hits.size() == 0) return {};
    // About what an event of so many hits has; an event that has more corrects it once.
    grow({8 * std::int64_t{hits.size()}, hits.size(), 2 * std::int64_t{hits.size()}});
    for (;;) {
      const Exchanged answer = run_once(hits);
      const HitGraphCounts counts = *answer.counts;
      if (fits(counts, capacity_, hits.size())) {
        counts_ = counts;
        num_hits_ = hits.size();
        return answer.found();
      }
      const auto with_margin = [](std::int32_t count) { return count + std::int64_t{count} / 8; };
      grow({with_margin(counts.doublets), with_margin(counts.edges), with_margin(counts.triplets)});
    }
  }

  TrackSession::Found found() override {
    const auto count = static_cast<std::size_t>(counts_.edges);
    src_.resize(count), dst_.resize(count), scores_.resize(count);
    TrackSession::Found found;
    if (count > 0) {
      stream_.download(arrays_.graph.src, std::span(src_));
      stream_.download(arrays_.graph.dst, std::span(dst_));
      stream_.download(arrays_.scores, std::span(scores_));
      stream_.wait();
    }
    found.edges.num_nodes = num_hits_;
    found.edges.src = src_, found.edges.dst = dst_;
    found.scores = scores_;
    found.hits_outside = counts_.hits_outside;
    if (num_hits_ > 0) {
      found.graph_seconds = marks_[1].seconds_since(marks_[0]);
      found.network_seconds = marks_[2].seconds_since(marks_[1]);
      found.tracks_seconds = marks_[3].seconds_since(marks_[2]);
    }
    return found;
  }

  std::size_t device_bytes() const override { return model_.size() + memory_.size(); }

 private:
  struct Entries {
    std::int64_t doublets, edges, triplets;
  };
  void grow(const Entries& entries) {
    const auto to = [](std::int32_t& capacity, std::int64_t needed) {
      constexpr std::int64_t kMost = std::int64_t{1} << 25;
      capacity = static_cast<std::int32_t>(std::max<std::int64_t>(capacity, std::min(needed, kMost)));
    };
    to(capacity_.doublets, entries.doublets);
    to(capacity_.edges, entries.edges);
    to(capacity_.triplets, entries.triplets);
  }

  /// From hits to tracks, or to counts that say what did not fit; both in pinned memory.
  Exchanged run_once(const HitsView& hits) {
    const std::int32_t count = hits.size();
    const auto device_layout = [&](std::span<std::byte> memory) {
      memory::Layout layout(memory);
      Exchanged exchanged(layout, count);
      arrays_ = chain_.lay_out(layout, count, capacity_);
      arrays_.graph.counts = exchanged.counts;
      return std::pair(exchanged, layout.bytes());
    };
    memory::Layout measured;
    Exchanged(measured, count);
    memory::Layout pinned(pinned_.at_least(measured.bytes()));
    const Exchanged host(pinned, count);
    const Exchanged device = device_layout(memory_.at_least(device_layout({}).second, ErrorKind::input)).first;

    const Execution execution{.device = Device::cuda, .stream = stream_};
    host.set(hits);
    marks_[0].set(stream_);
    stream_.upload(std::span<const std::byte>(host.sent()), device.sent().data());
    const HitGraphView graph = chain_.build_graph(device.hits(), capacity_, arrays_, execution);
    marks_[1].set(stream_);
    chain_.score(graph, arrays_, execution);
    marks_[2].set(stream_);
    chain_.find_tracks(graph, arrays_, device.tracks, execution);
    stream_.download<std::byte>(device.received().data(), host.received());
    marks_[3].set(stream_);
    stream_.wait();
    return host;
  }

  starling::cuda::DeviceMemory model_, memory_;
  starling::cuda::PinnedMemory pinned_;
  starling::cuda::Stream stream_;
  std::array<Mark, 4> marks_;  // around the stages
  Chain chain_;
  HitGraphCapacity capacity_;
  // Of the last event.
  ChainMemory arrays_;
  HitGraphCounts counts_;
  std::int32_t num_hits_ = 0;
  std::vector<std::int32_t> src_, dst_;
  std::vector<float> scores_;
};

}  // namespace

std::unique_ptr<Runner> cuda_runner(const TrackFinder& finder, NumberType type) {
  require_cuda();
  return std::make_unique<CudaRunner>(finder, type);
}

}  // namespace starling::track_finder
