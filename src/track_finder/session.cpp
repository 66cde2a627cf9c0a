#include "track_finder/session.h"

#include <chrono>
#include <utility>
#include <vector>

#include "starling/error.h"

namespace starling::track_finder {
namespace {

/// Seconds since it was last asked.
class Watch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

class HostRunner final : public Runner {
 public:
  HostRunner(const TrackFinder& finder, std::shared_ptr<const EdgePlan> plan)
      : windows_(finder.windows), scales_(finder.scales), cuts_(finder.cuts), network_(std::move(plan)) {}

  Tracks run(const HitsView& hits) override {
    Watch watch;
    build_hit_graph(hits, windows_, scales_, graph_);
    found_.graph_seconds = watch.lap();
    scores_ = network_.run(graph_);
    found_.network_seconds = watch.lap();
    Tracks tracks = build_tracks(graph_, scores_, cuts_);
    found_.tracks_seconds = watch.lap();
    found_.edges = graph_.edges;
    found_.scores = scores_;
    found_.hits_outside = graph_.hits_outside;
    return tracks;
  }
  TrackSession::Found found() override { return found_; }
  std::size_t device_bytes() const override { return 0; }

 private:
  Windows windows_;
  FeatureScales scales_;
  TrackCuts cuts_;
  Session network_;
  HitGraph graph_;
  std::vector<float> scores_;
  TrackSession::Found found_;
};

}  // namespace
}  // namespace starling::track_finder

namespace starling {

struct TrackSession::Runtime {
  std::unique_ptr<track_finder::Runner> runner;

  static track_finder::Runner& of(const std::unique_ptr<Runtime>& runtime) {
    if (runtime == nullptr) throw Error(ErrorKind::usage, "a session that was moved from, expected one with a finder");
    return *runtime->runner;
  }
};

TrackSession::TrackSession(const TrackFinder& finder, Device device, NumberType type)
    : runtime_(std::make_unique<Runtime>()) {
  if (device == Device::cuda) {
    runtime_->runner = track_finder::cuda_runner(finder, type);
    return;
  }
  if (type != NumberType::float32) {
    throw Error(ErrorKind::usage, "a network in " + to_string(type) + " on the CPU: expected float32");
  }
  runtime_->runner = std::make_unique<track_finder::HostRunner>(finder, finder.plan());
}

TrackSession::TrackSession(const TrackFinder& finder, std::shared_ptr<const EdgePlan> plan)
    : runtime_(new Runtime{std::make_unique<track_finder::HostRunner>(finder, std::move(plan))}) {}

TrackSession::TrackSession(TrackSession&&) noexcept = default;
TrackSession::~TrackSession() = default;

Tracks TrackSession::run(const HitsView& hits) { return Runtime::of(runtime_).run(hits); }
TrackSession::Found TrackSession::found() { return Runtime::of(runtime_).found(); }
std::size_t TrackSession::device_bytes() const { return Runtime::of(runtime_).device_bytes(); }

}  // namespace starling
