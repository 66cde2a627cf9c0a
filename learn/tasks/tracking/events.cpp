#include "learn/tasks/tracking/events.h"

#include <algorithm>
#include <string>
#include <utility>

#include "learn/train/random.h"
#include "starling/error.h"
#include "starling/simulate.h"

namespace starling::learn::tracking {
namespace {

// Numbers of simulated events: far from the small ones of `starling simulate`, so that an event that a network is
// judged on was not trained on.
constexpr std::uint64_t kWindowEvents = 1ull << 40, kValidationEvents = 2ull << 40, kTrainingEvents = 3ull << 40;

enum Stream : std::uint64_t { kPileup = 1, kOverlaps, kOrder, kSubset = 6 };  // 4 and 5 are the trainer's

// Leaves the hits in these volumes only: a detector of which a part is missing, or was cut away.
void keep_volumes(Event& event, const std::vector<double>& volumes) {
  Hits& hits = event.hits;
  std::vector<std::int64_t>& particle_id = event.truth->particle_id;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < hits.hit_id.size(); ++i) {
    if (std::find(volumes.begin(), volumes.end(), hits.volume_id[i]) == volumes.end()) continue;
    for (auto* column : {&hits.x, &hits.y, &hits.z}) (*column)[kept] = (*column)[i];
    for (auto* column : {&hits.volume_id, &hits.layer_id, &hits.module_id}) (*column)[kept] = (*column)[i];
    hits.hit_id[kept] = hits.hit_id[i];
    particle_id[kept] = particle_id[i];
    ++kept;
  }
  for (auto* column : {&hits.x, &hits.y, &hits.z}) column->resize(kept);
  for (auto* column : {&hits.volume_id, &hits.layer_id, &hits.module_id}) column->resize(kept);
  hits.hit_id.resize(kept);
  particle_id.resize(kept);
}

Event read_with_truth(const std::filesystem::path& file) {
  Event event = read_event(file);
  if (!event.truth) {
    throw Error(ErrorKind::input,
                file.string() + ": has no truth (neither a truth nor a tracks file); training needs it");
  }
  return event;
}

}  // namespace

Events::Events(const TrackingSettings& settings) : settings_(settings) {
  if (settings.data.empty()) {
    detector_ = read_detector(settings.detector);
    return;
  }
  for (const std::filesystem::path& path : settings.data) {
    const auto found = find_events(path);
    training_files_.insert(training_files_.end(), found.begin(), found.end());
  }
  const auto held_out = static_cast<std::size_t>(settings.validation_events);
  if (training_files_.size() <= held_out) {
    throw Error(ErrorKind::usage, "training.validation_events = " + std::to_string(held_out) +
                                      ": expected fewer than the " + std::to_string(training_files_.size()) +
                                      " events of training.data");
  }
  validation_files_.assign(training_files_.end() - settings.validation_events, training_files_.end());
  training_files_.resize(training_files_.size() - held_out);
  const auto events = static_cast<std::size_t>(settings.events);
  if (events > training_files_.size()) {
    throw Error(ErrorKind::usage, "training.events = " + std::to_string(events) + ": expected at most the " +
                                      std::to_string(training_files_.size()) +
                                      " events of training.data that are not held out");
  }
  if (events > 0) training_files_.resize(events);
}

Event Events::simulated(std::uint64_t range, std::uint64_t number, bool varied) const {
  SimulationSettings simulation = settings_.simulation;
  if (varied) {
    const std::uint64_t event = range + number;
    if (!settings_.pileup.empty()) {
      const double low = settings_.pileup[0], high = settings_.pileup[1];
      simulation.pileup = low + (high - low) * random_unit(settings_.seed, kPileup, event);
    }
    simulation.overlaps =
        simulation.overlaps && random_unit(settings_.seed, kOverlaps, event) < settings_.overlap_fraction;
  }
  Event event = simulate_event(detector_, simulation, range + number);
  if (varied && random_unit(settings_.seed, kSubset, range + number) < settings_.subset_fraction) {
    keep_volumes(event, settings_.subset_volumes);
  }
  return event;
}

// Which of `count` events the sequence has at `number`: all of them in each pass, in an order of its own.
std::uint64_t Events::in_pass(std::uint64_t number, std::uint64_t count) const {
  const std::uint64_t pass = number / count;
  std::vector<std::uint64_t> order(count);
  for (std::uint64_t i = 0; i < count; ++i) order[i] = i;
  for (std::uint64_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[random_bits(settings_.seed ^ pass, kOrder, i) % i]);
  }
  return order[number % count];
}

std::uint64_t Events::in_sequence(std::uint64_t number) const {
  if (!come_again()) return number;
  return in_pass(number,
                 training_files_.empty() ? static_cast<std::uint64_t>(settings_.events) : training_files_.size());
}

Event Events::training(std::uint64_t which) const {
  return training_files_.empty() ? simulated(kTrainingEvents, which, true) : read_with_truth(training_files_[which]);
}

Event Events::validation(std::uint64_t number) const {
  return validation_files_.empty() ? simulated(kValidationEvents, number, true)
                                   : read_with_truth(validation_files_[number]);
}

Event Events::window(std::uint64_t number) const {
  if (training_files_.empty()) return simulated(kWindowEvents, number, false);
  const std::filesystem::path& file = training_files_[number % training_files_.size()];
  Event event = read_with_truth(file);
  if (!event.particles || event.particles->px.empty() || event.particles->py.empty()) {
    throw Error(ErrorKind::input, file.string() + ": has no particles with px and py; windows are learned from them");
  }
  return event;
}

std::vector<std::filesystem::path> Events::window_files() const {
  const auto count = std::min(training_files_.size(), static_cast<std::size_t>(settings_.windows.events));
  return {training_files_.begin(), training_files_.begin() + static_cast<std::ptrdiff_t>(count)};
}

}  // namespace starling::learn::tracking
