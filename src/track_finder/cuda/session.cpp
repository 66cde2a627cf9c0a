#include "track_finder/session.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
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

  /// While the stream is captured: each launch of the graph sets it.
  void capture(cudaStream_t stream) const { call(cudaEventRecordWithFlags(event_, stream, cudaEventRecordExternal)); }
  double seconds_since(const Mark& earlier) const {
    float milliseconds = 0;
    call(cudaEventElapsedTime(&milliseconds, earlier.event_, event_));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A captured CUDA graph, ready to be launched. An event takes some ninety kernels and copies: started one by one, by
/// several threads at a time, they cost the host more time than the device.
class Launchable {
 public:
  Launchable() = default;
  Launchable(const Launchable&) = delete;
  Launchable& operator=(const Launchable&) = delete;
  ~Launchable() { reset(); }

  explicit operator bool() const { return executable_ != nullptr; }
  void reset() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    executable_ = nullptr;
  }
  /// What action() starts on the stream.
  template <typename Action>
  void capture(cudaStream_t stream, const Action& action) {
    reset();
    call(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      action();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    call(cudaStreamEndCapture(stream, &graph));
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    if (status != cudaSuccess) executable_ = nullptr;
    call(status);
  }
  void launch(cudaStream_t stream) const { call(cudaGraphLaunch(executable_, stream)); }

 private:
  cudaGraphExec_t executable_ = nullptr;
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
  /// Where there is room for more hits it is filled with some on no layer, which change nothing for the others: they
  /// are on no edge, and come last. They are farther from the beam line than has_place() allows, spread over the bins
  /// in which the layout counts.
  void set(const HitsView& hits) const {
    const auto room = static_cast<std::size_t>(num_hits);
    const auto copy = [&](const auto& from, auto* to) {
      std::fill(std::copy(from.begin(), from.end(), to), to + room, 0);
    };
    copy(hits.x, x), copy(hits.y, y), copy(hits.z, z);
    copy(hits.volume_id, volume_id), copy(hits.layer_id, layer_id), copy(hits.module_id, module_id);
    // The layout counts hits on no layer by the highest 14 bits of x.
    constexpr std::uint32_t kFar = 0x49800000, kStep = 1u << 18, kSteps = (0x7f800000 - kFar) / kStep;
    for (std::size_t i = hits.x.size(); i < room; ++i) {
      const std::size_t pad = i - hits.x.size();
      const float place = std::bit_cast<float>(kFar + static_cast<std::uint32_t>(pad % kSteps) * kStep);
      x[i] = pad / kSteps % 2 == 0 ? place : -place;
    }
  }
  /// The tracks of the first `hits` hits.
  Tracks found(std::int32_t hits) const {
    std::int32_t count = *tracks.count;
    while (count > 0 && tracks.hits[tracks.row_splits[count - 1]] >= hits) --count;  // only where one hit is a track
    Tracks result;
    result.row_splits.assign(tracks.row_splits, tracks.row_splits + count + 1);
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
      : chain_(finder, type, model_.at_least(Chain::model_bytes(finder, type), ErrorKind::device)),
        exact_(Chain::counts_all_hits(finder)) {}

  Tracks run(const HitsView& hits) override {
    hits.check();
    counts_ = {};
    num_hits_ = 0;
    if (hits.size() == 0) return {};
    const std::int64_t room = room_for(hits.size());
    // About what an event of so many hits has; an event that has more corrects it once.
    grow({8 * room, room, 2 * room});
    for (;;) {
      const Exchanged answer = run_once(hits, static_cast<std::int32_t>(room));
      const HitGraphCounts counts = *answer.counts;
      if (fits(counts, capacity_, hits.size())) {
        counts_ = counts;
        counts_.hits_outside -= static_cast<std::int32_t>(room) - hits.size();
        num_hits_ = hits.size();
        return answer.found(num_hits_);
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

  /// Hits that a run has room for. The same for events of about one size, so that they share a graph.
  std::int32_t room_for(std::int32_t hits) const {
    if (exact_) return hits;
    if (hits <= room_ && hits > room_ / 2) return room_;
    constexpr std::int64_t kStep = 4096;
    const std::int64_t room = (std::int64_t{hits} + kStep - 1) / kStep * kStep;
    return room <= std::numeric_limits<std::int32_t>::max() ? static_cast<std::int32_t>(room) : hits;
  }

  /// From hits to tracks, or to counts that say what did not fit; both in pinned memory.
  Exchanged run_once(const HitsView& hits, std::int32_t room) {
    const bool fits_graph = room == room_ && capacity_.doublets == captured_.doublets &&
                            capacity_.edges == captured_.edges && capacity_.triplets == captured_.triplets;
    if (!graph_ || !fits_graph) {
      try {
        capture(room);
      } catch (...) {
        capacity_ = captured_;  // the next event must not need what there is not
        throw;
      }
    }
    host_->set(hits);
    graph_.launch(stream_);
    stream_.wait();
    return *host_;
  }

  void capture(std::int32_t room) {
    graph_.reset();  // before the memory that it uses is given back
    const auto device_layout = [&](std::span<std::byte> memory) {
      memory::Layout layout(memory);
      Exchanged exchanged(layout, room);
      arrays_ = chain_.lay_out(layout, room, capacity_);
      arrays_.graph.counts = exchanged.counts;
      return std::pair(exchanged, layout.bytes());
    };
    memory::Layout measured;
    Exchanged(measured, room);
    memory::Layout pinned(pinned_.at_least(measured.bytes()));
    host_.emplace(pinned, room);
    const Exchanged device = device_layout(memory_.at_least(device_layout({}).second, ErrorKind::input)).first;
    const Execution execution{.device = Device::cuda, .stream = stream_};
    graph_.capture(stream_, [&] {
      marks_[0].capture(stream_);
      stream_.upload(std::span<const std::byte>(host_->sent()), device.sent().data());
      const HitGraphView graph = chain_.build_graph(device.hits(), capacity_, arrays_, execution);
      marks_[1].capture(stream_);
      chain_.score(graph, arrays_, execution);
      marks_[2].capture(stream_);
      chain_.find_tracks(graph, arrays_, device.tracks, execution);
      stream_.download<std::byte>(device.received().data(), host_->received());
      marks_[3].capture(stream_);
    });
    room_ = room;
    captured_ = capacity_;
  }

  starling::cuda::DeviceMemory model_, memory_;
  starling::cuda::PinnedMemory pinned_;
  starling::cuda::Stream stream_;
  std::array<Mark, 4> marks_;  // around the stages
  Chain chain_;
  bool exact_;  // there may be no other hits than those of the event
  HitGraphCapacity capacity_;
  // The graph, what it has room for, and where it reads and writes on the host.
  Launchable graph_;
  std::int32_t room_ = 0;
  HitGraphCapacity captured_;
  std::optional<Exchanged> host_;
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
