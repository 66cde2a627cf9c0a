#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "learn/nn/interaction_network.h"
#include "learn/tasks/tracking/sample.h"
#include "learn/train/batch.h"

namespace starling::learn::tracking {

/// A graph with what the loss needs: labels and weights, [E] in float.
struct LabelledGraph {
  GraphTensors graph;
  torch::Tensor labels, weights;
};

/// The tensors of a sample, in pinned memory where `pinned`.
LabelledGraph to_tensors(const Sample& sample, bool pinned);

/// As the trainer carries it, and back.
Batch to_batch(const LabelledGraph& graph);
LabelledGraph from_batch(const Batch& batch);

/// The same event mirrored in φ, in z, and turned around the beam line, as the bits of `draw` say: symmetries of the
/// detector, so the labels stay true.
LabelledGraph turned(const LabelledGraph& graph, std::uint64_t draw, const FeatureScales& scales);

}  // namespace starling::learn::tracking
