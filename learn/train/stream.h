#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <deque>
#include <functional>

#include "learn/train/batch.h"
#include "learn/train/prefetch.h"
#include "learn/train/settings.h"

namespace starling::learn {

/// The part that one process takes in a training that `world` of them share: of the items of each step, world in
/// number, the one at `rank`, 0 <= rank < world.
struct Share {
  int rank = 0, world = 1;
};

/// The batches to train on, one per step, made ahead in worker threads. Of each `reuse` steps the first takes a new
/// batch as it is, the others one of the `reuse_window` latest of this process, augmented. What a step gets is a
/// function of its number and the share alone; over all processes, every batch of the sequence is new exactly once.
class BatchStream {
 public:
  using Make = std::function<Batch(std::uint64_t)>;
  using Augment = std::function<Batch(const Batch&, std::uint64_t)>;

  /// `make(i)` gives batch i of the sequence; it is called from `workers` threads. Gives the steps from `first` to
  /// `end`. Throws ErrorKind::usage for a rank outside the world.
  BatchStream(Make make, Augment augment, const TrainerSettings& settings, std::uint64_t first, std::uint64_t end,
              int workers, Share share = {});

  /// The batch of the next step, on `device`.
  Batch next(torch::Device device);

 private:
  std::uint64_t step_, reuse_, window_, seed_, rank_, world_;
  Augment augment_;
  std::deque<Batch> latest_;
  Prefetcher<Batch> fresh_;
};

}  // namespace starling::learn
