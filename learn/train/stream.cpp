#include "learn/train/stream.h"

#include <algorithm>
#include <string>
#include <utility>

#include "learn/train/random.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

// Batches that a place of the step has taken as new ones before step `steps`.
std::uint64_t taken(std::uint64_t steps, std::uint64_t reuse) { return (steps + reuse - 1) / reuse; }

// The first of them that it still keeps, or takes.
std::uint64_t first_kept(std::uint64_t step, std::uint64_t reuse, std::uint64_t window) {
  return taken(step, reuse) - (reuse == 1 ? 0 : std::min(taken(step, reuse), window));
}

std::vector<std::uint64_t> places_of(const Share& share, int batch) {
  if (share.rank < 0 || share.rank >= share.world) {
    throw Error(ErrorKind::usage, "rank " + std::to_string(share.rank) + " of " + std::to_string(share.world) +
                                      " processes: expected 0 <= rank < processes");
  }
  if (share.world > batch) {
    throw Error(ErrorKind::usage, "training.batch = " + std::to_string(batch) + ": expected at least " +
                                      std::to_string(share.world) + ", one for each process");
  }
  std::vector<std::uint64_t> places;
  for (int i = share.rank; i < batch; i += share.world) places.push_back(static_cast<std::uint64_t>(i));
  return places;
}

// The batches that these places take, one place after the other: all take their first, then all their second.
BatchStream::Make of_places(BatchStream::Make make, const std::vector<std::uint64_t>& places, std::uint64_t batch) {
  return [make = std::move(make), places, batch](std::uint64_t i) {
    return make(i / places.size() * batch + places[i % places.size()]);
  };
}

}  // namespace

BatchStream::BatchStream(Make make, Augment augment, const TrainerSettings& settings, std::uint64_t first,
                         std::uint64_t end, int workers, Share share)
    : BatchStream(places_of(share, settings.batch), std::move(make), std::move(augment), settings, first, end,
                  workers) {}

BatchStream::BatchStream(const std::vector<std::uint64_t>& places, Make make, Augment augment,
                         const TrainerSettings& settings, std::uint64_t first, std::uint64_t end, int workers)
    : step_(first),
      reuse_(static_cast<std::uint64_t>(settings.reuse)),
      window_(static_cast<std::uint64_t>((settings.reuse_window + settings.batch - 1) / settings.batch)),
      seed_(settings.seed),
      batch_(static_cast<std::uint64_t>(settings.batch)),
      augment_(std::move(augment)),
      fresh_(of_places(std::move(make), places, batch_), first_kept(first, reuse_, window_) * places.size(), workers,
             2 * workers, taken(end, reuse_) * places.size()) {
  for (const std::uint64_t number : places) places_.push_back({number, {}});
  for (std::uint64_t i = first_kept(first, reuse_, window_); i < taken(first, reuse_); ++i) {
    for (Place& place : places_) place.latest.push_back(fresh_.next());
  }
}

Batch BatchStream::next(torch::Device device) {
  Place& place = places_[next_];
  const std::uint64_t step = step_;
  if (++next_ == places_.size()) {
    next_ = 0;
    ++step_;
  }
  if (step % reuse_ != 0) {
    const std::uint64_t number = step * batch_ + place.number;
    const Batch& chosen = place.latest[random_bits(seed_, kChoice, number) % place.latest.size()];
    return augment_(chosen.to(device), random_bits(seed_, kAugmentation, number));
  }
  Batch batch = fresh_.next();
  if (reuse_ > 1) {
    place.latest.push_back(batch);
    if (place.latest.size() > window_) place.latest.pop_front();
  }
  return batch.to(device);
}

}  // namespace starling::learn
