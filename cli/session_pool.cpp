#include "session_pool.h"

#include <oneapi/tbb/task_arena.h>

#include <algorithm>

namespace starling::cli {

std::size_t sessions_at_a_time(Device device) {
  constexpr int kStreams = 4;
  const int threads = oneapi::tbb::this_task_arena::max_concurrency();
  return static_cast<std::size_t>(device == Device::cuda ? std::min(threads, kStreams) : threads);
}

SessionPool<TrackSession> track_sessions(const TrackFinder& finder, Device device) {
  const std::shared_ptr<const EdgePlan> plan = device == Device::cpu ? finder.plan() : nullptr;
  return {sessions_at_a_time(device), [&finder, device, plan] {
            return plan != nullptr ? TrackSession(finder, plan) : TrackSession(finder, device);
          }};
}

}  // namespace starling::cli
