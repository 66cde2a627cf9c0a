#pragma once

#include <oneapi/tbb/parallel_pipeline.h>
#include <oneapi/tbb/task_arena.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "progress.h"
#include "starling/error.h"

namespace starling::cli {

/// Calls `done(work(0))`, `done(work(1))`, … in order, with as many calls of `work` at a time as the arena has threads:
/// so what they hold in memory is bounded.
template <class Work, class Done>
void in_flight(std::size_t count, const Work& work, const Done& done) {
  using Result = decltype(work(std::size_t{}));
  std::size_t next = 0;
  const auto give = [&](oneapi::tbb::flow_control& flow) {
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

/// A failure with its event at the front: the prefix, or one of the event's files, which begins with it. What the
/// library names by the event's name alone gets the folder too.
inline std::string named(const std::filesystem::path& prefix, const std::string& failure) {
  const std::string name = prefix.filename().string();
  if (failure.starts_with(prefix.string() + ": ") || failure.starts_with(prefix.string() + "-")) return failure;
  if (failure.starts_with(name + ": ")) return prefix.string() + failure.substr(name.size());
  return prefix.string() + ": " + failure;
}

/// Calls `done(work(prefix))` for every event, in order. One that is bad or needs more memory than there is ends it, or
/// with `keep_going` is named on stderr and left out. Returns the names of those.
template <class Work, class Done>
std::vector<std::string> for_each_event(const std::vector<std::filesystem::path>& prefixes, bool keep_going,
                                        Progress& progress, const Work& work, const Done& done) {
  using Result = decltype(work(prefixes.front()));
  struct Outcome {
    std::string event, failure;
    std::optional<Result> result;
  };
  const auto judge = [&](std::size_t i) {
    Outcome outcome{prefixes[i].filename().string(), "", std::nullopt};
    ErrorKind kind = ErrorKind::input;
    try {
      outcome.result.emplace(work(prefixes[i]));
    } catch (const std::bad_alloc&) {
      outcome.failure = "more memory is needed than there is";
    } catch (const Error& error) {
      outcome.failure = error.what();
      kind = error.kind();
    }
    if (outcome.result) return outcome;
    outcome.failure = named(prefixes[i], outcome.failure);
    if (!keep_going || kind != ErrorKind::input) throw Error(kind, outcome.failure);
    return outcome;
  };
  std::vector<std::string> left_out;
  in_flight(prefixes.size(), judge, [&](const Outcome& outcome) {
    if (outcome.result) {
      done(*outcome.result);
    } else {
      progress.say("left out: " + outcome.failure);
      left_out.push_back(outcome.event);
    }
  });
  return left_out;
}

/// Throws ErrorKind::input where events were left out, as the last thing that a command does.
inline void fail_if_left_out(const std::vector<std::string>& left_out, std::size_t events) {
  if (left_out.empty()) return;
  throw Error(ErrorKind::input, std::to_string(left_out.size()) + " of " + std::to_string(events) +
                                    (events == 1 ? " event" : " events") + " left out, as said above");
}

}  // namespace starling::cli
