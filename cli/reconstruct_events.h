#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "event_loop.h"
#include "reconstruct.h"
#include "session_pool.h"
#include "stopwatch.h"

namespace starling::cli {

/// A file that an event left: its name is that of the event and `end`; the sum gives it under `label`.
struct WrittenFile {
  const char* label;
  const char* end;
  std::filesystem::path path;
};

/// Adds "<label>_file" of each to the line of an event; of a picture "picture".
void add_written(nlohmann::ordered_json& line, const std::vector<WrittenFile>& written);

/// All events together, as the last lines of the table.
struct ReconstructionSum {
  std::size_t events = 0;
  std::int64_t hits = 0, found = 0;
  double seconds = 0;
  std::size_t device_bytes = 0;  ///< of a GPU's memory
};

/// Prints the sum and where the files are: `written` are those of the last event. `found` is the singular of what was.
void print_sum(const Reconstruction& options, const ReconstructionSum& sum, const std::string& found,
               const std::vector<WrittenFile>& written);

/// Reconstructs every event with `way` and prints a table, or with --json a line per event. A Way has
/// reconstruct_event, which gives the Done of an event (with hits, found and written), the word kFound for what is
/// found, and what prints a Done and warns of it.
template <class Way, class Session>
void reconstruct_events(const Reconstruction& options, const Way& way, SessionPool<Session>& sessions) {
  ReconstructionSum sum;
  typename Way::Done last;
  Stopwatch watch;
  bool head = !options.json;
  Progress progress;
  const std::vector<std::string> left_out = for_each_event(
      options.prefixes, options.events.keep_going, progress,
      [&](const std::filesystem::path& prefix) { return way.reconstruct_event(prefix, sessions); },
      [&](const typename Way::Done& done) {
        if (std::exchange(head, false)) Way::print_table_head();
        options.json ? Way::print_json(done) : Way::print_table_row(done);
        Way::warn(progress, done);
        ++sum.events;
        sum.hits += done.hits;
        sum.found += done.found;
        last = done;
      });
  sum.seconds = watch.lap();
  sum.device_bytes = sessions.device_bytes();
  if (!options.json && sum.events > 0) print_sum(options, sum, Way::kFound, last.written);
  fail_if_left_out(left_out, options.prefixes.size());
}

}  // namespace starling::cli
