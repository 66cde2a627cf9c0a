#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "learn/tasks/showers/loss.h"
#include "learn/tasks/showers/sample.h"
#include "learn/train/batch.h"

namespace starling::learn::showers {

/// The events of one step: hits of an event in consecutive rows.
struct ShowerBatch {
  torch::Tensor features;  ///< [N, kShowerFeatures]
  Labels labels;
};

/// Samples one after the other; in pinned memory where `pinned`.
ShowerBatch to_tensors(const std::vector<Sample>& samples, bool pinned);

Batch to_batch(const ShowerBatch& batch);
ShowerBatch from_batch(const Batch& batch);

/// The events turned around the beam line by a random angle, mirrored along x and along z or not, as the bits `draw`
/// say. Neither energies, classes nor distances change.
ShowerBatch turned(const ShowerBatch& batch, std::uint64_t draw);

}  // namespace starling::learn::showers
