#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "learn/train/batch.h"
#include "learn/train/prefetch.h"
#include "learn/train/settings.h"

namespace starling::learn {

/// Of `world` processes that share a training, the one at `rank`: of the batches of each step it takes those whose
/// place in the step is rank modulo world.
struct Share {
  int rank = 0, world = 1;
};

/// The batches to train on, TrainerSettings::batch of them per step, made ahead in worker threads. In the first of each
/// `reuse` steps each place of the step takes a new batch as it is; in the others it takes one of the latest that it
/// took, augmented; all places together keep the latest `reuse_window`. What a place gets is a function of the step's
/// number alone, not of the number of processes, and every batch of the sequence is new exactly once.
class BatchStream {
 public:
  using Make = std::function<Batch(std::uint64_t)>;
  using Augment = std::function<Batch(const Batch&, std::uint64_t)>;

  /// `make(i)` gives batch i of the sequence; it is called from `workers` threads. Gives the steps from `first` to
  /// `end`. Throws ErrorKind::usage for a rank outside the world, and for more processes than batches per step.
  BatchStream(Make make, Augment augment, const TrainerSettings& settings, std::uint64_t first, std::uint64_t end,
              int workers, Share share = {});

  /// How many of the batches of a step are this process's.
  std::size_t per_step() const { return places_.size(); }

  /// The next of these, on `device`: those of a step one after the other, then those of the next step.
  Batch next(torch::Device device);

 private:
  BatchStream(const std::vector<std::uint64_t>& places, Make make, Augment augment, const TrainerSettings& settings,
              std::uint64_t first, std::uint64_t end, int workers);

  struct Place {
    std::uint64_t number;      ///< in the step
    std::deque<Batch> latest;  ///< what it took
  };

  std::uint64_t step_, reuse_, window_, seed_, batch_;
  Augment augment_;
  std::vector<Place> places_;
  std::size_t next_ = 0;  ///< of places_
  Prefetcher<Batch> fresh_;
};

}  // namespace starling::learn
