#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "learn/tasks/tracking/settings.h"
#include "starling/detector.h"
#include "starling/event.h"

namespace starling::learn::tracking {

/// Where a run's events come from: simulated on the fly, or read from files. Every event is a function of the settings
/// and its number. Safe to call from several threads.
class Events {
 public:
  /// Reads the detector or finds the files; `settings` must stay where they are. Throws ErrorKind::usage where fewer
  /// files are given than validation takes away, and `settings.events` more, or one.
  explicit Events(const TrackingSettings& settings);

  // Of files, each throws ErrorKind::input, naming the file, for an event that cannot be read or lacks truth; window()
  // also for one without particles and their px and py.

  /// Whether the events to train on are so many and no more, as are files.
  bool come_again() const { return !training_files_.empty() || settings_.events > 0; }
  /// Which of them the endless sequence to train on has at `number`: where they come again, each pass over them has a
  /// new order.
  std::uint64_t in_sequence(std::uint64_t number) const;
  /// Event `which` of those to train on, as in_sequence() numbers them.
  Event training(std::uint64_t which) const;
  /// Event `number` < validation_events, never trained on; of files, the last ones.
  Event validation(std::uint64_t number) const;
  /// For learning windows: simulated with the settings as they stand, or the files in order, again and again.
  Event window(std::uint64_t number) const;
  /// The files that events for windows are read from, each once; none where they are simulated.
  std::vector<std::filesystem::path> window_files() const;

 private:
  Event simulated(std::uint64_t range, std::uint64_t number, bool varied) const;

  std::uint64_t in_pass(std::uint64_t number, std::uint64_t count) const;

  const TrackingSettings& settings_;
  Detector detector_;
  std::vector<std::filesystem::path> training_files_, validation_files_;
};

}  // namespace starling::learn::tracking
