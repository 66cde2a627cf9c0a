#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <deque>
#include <functional>

#include "learn/nn/interaction_network.h"
#include "learn/train/prefetch.h"
#include "learn/train/sample.h"

namespace starling::learn {

/// A graph with what the loss needs: labels and weights, [E] in float.
struct LabelledGraph {
  GraphTensors graph;
  torch::Tensor labels, weights;

  /// Copied without waiting where the memory is pinned.
  LabelledGraph to(torch::Device device) const;
};

/// The tensors of a sample, in pinned memory where `pinned`.
LabelledGraph to_tensors(const Sample& sample, bool pinned);

/// The same event mirrored in φ, in z, and turned around the beam line, as the bits of `draw` say: symmetries of the
/// detector, so the labels stay true.
LabelledGraph turned(const LabelledGraph& graph, std::uint64_t draw, const FeatureScales& scales);

/// The graphs to train on, one a step, made ahead in worker threads. Of each `reuse` steps the first takes a new graph,
/// the others one of the `reuse_window` latest, turned. What a step gets is a function of its number alone.
class GraphStream {
 public:
  /// `make(i)` gives new graph i; it is called from `workers` threads. Starts at step `first`.
  GraphStream(std::function<LabelledGraph(std::uint64_t)> make, const TrainingSettings& settings,
              const FeatureScales& scales, std::uint64_t first, int workers);

  LabelledGraph next(torch::Device device);

 private:
  std::uint64_t step_, reuse_, window_, seed_;
  FeatureScales scales_;
  std::deque<LabelledGraph> latest_;
  Prefetcher<LabelledGraph> fresh_;
};

}  // namespace starling::learn
