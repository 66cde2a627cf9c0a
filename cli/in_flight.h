#pragma once

#include <oneapi/tbb/parallel_pipeline.h>
#include <oneapi/tbb/task_arena.h>

#include <cstddef>
#include <memory>

#include "environment.h"

namespace starling::cli {

/// Calls `done(work(0))`, `done(work(1))`, … in order, with as many calls of `work` at a time as the arena has threads:
/// so what they hold in memory is bounded. Stops between two calls where the program is interrupted.
template <class Work, class Done>
void in_flight(std::size_t count, const Work& work, const Done& done) {
  using Result = decltype(work(std::size_t{}));
  std::size_t next = 0;
  const auto give = [&](oneapi::tbb::flow_control& flow) {
    stop_if_interrupted();
    if (next == count) flow.stop();
    return next++;
  };
  // Isolated: a thread that waits inside one event's loops must not begin another event, which would need its memory
  // too and spoil its times.
  const auto compute = [&](std::size_t i) {
    return oneapi::tbb::this_task_arena::isolate([&] { return std::make_shared<Result>(work(i)); });
  };
  const auto take = [&](const std::shared_ptr<Result>& result) { done(*result); };
  using oneapi::tbb::filter_mode;
  oneapi::tbb::parallel_pipeline(
      static_cast<std::size_t>(oneapi::tbb::this_task_arena::max_concurrency()),
      oneapi::tbb::make_filter<void, std::size_t>(filter_mode::serial_in_order, give) &
          oneapi::tbb::make_filter<std::size_t, std::shared_ptr<Result>>(filter_mode::parallel, compute) &
          oneapi::tbb::make_filter<std::shared_ptr<Result>, void>(filter_mode::serial_in_order, take));
}

}  // namespace starling::cli
