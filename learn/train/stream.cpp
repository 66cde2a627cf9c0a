#include "learn/train/stream.h"

#include <algorithm>
#include <string>
#include <utility>

#include "learn/train/random.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

std::uint64_t new_batches(std::uint64_t steps, std::uint64_t reuse) { return (steps + reuse - 1) / reuse; }

std::uint64_t first_new_batch(std::uint64_t step, std::uint64_t reuse, std::uint64_t window) {
  const std::uint64_t taken = new_batches(step, reuse);
  return reuse == 1 ? taken : taken - std::min(taken, window);
}

BatchStream::Make of_share(BatchStream::Make make, Share share) {
  if (share.rank < 0 || share.rank >= share.world) {
    throw Error(ErrorKind::usage, "rank " + std::to_string(share.rank) + " of " + std::to_string(share.world) +
                                      " processes: expected 0 <= rank < processes");
  }
  return [make = std::move(make), rank = static_cast<std::uint64_t>(share.rank),
          world = static_cast<std::uint64_t>(share.world)](std::uint64_t i) { return make(i * world + rank); };
}

}  // namespace

BatchStream::BatchStream(Make make, Augment augment, const TrainerSettings& settings, std::uint64_t first,
                         std::uint64_t end, int workers, Share share)
    : step_(first),
      reuse_(static_cast<std::uint64_t>(settings.reuse)),
      window_(static_cast<std::uint64_t>(settings.reuse_window)),
      seed_(settings.seed),
      rank_(static_cast<std::uint64_t>(share.rank)),
      world_(static_cast<std::uint64_t>(share.world)),
      augment_(std::move(augment)),
      fresh_(of_share(std::move(make), share), first_new_batch(first, reuse_, window_), workers, 2 * workers,
             new_batches(end, reuse_)) {
  for (std::uint64_t i = first_new_batch(first, reuse_, window_); i < new_batches(first, reuse_); ++i) {
    latest_.push_back(fresh_.next());
  }
}

Batch BatchStream::next(torch::Device device) {
  const std::uint64_t step = step_++;
  if (step % reuse_ != 0) {
    const std::uint64_t number = step * world_ + rank_;  // of the step among those of all processes
    const Batch& chosen = latest_[random_bits(seed_, kChoice, number) % latest_.size()];
    return augment_(chosen.to(device), random_bits(seed_, kAugmentation, number));
  }
  Batch batch = fresh_.next();
  if (reuse_ > 1) {
    latest_.push_back(batch);
    if (latest_.size() > window_) latest_.pop_front();
  }
  return batch.to(device);
}

}  // namespace starling::learn
