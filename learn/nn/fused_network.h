#pragma once

#include <torch/torch.h>

#include <vector>

#include "learn/nn/flat_parameters.h"
#include "learn/nn/interaction_network.h"
#include "starling/interaction_network.h"

namespace starling::learn {

/// Whether a network has operators of its own (starling/interaction_step.h): no batch normalisation, no more than
/// kMaxTrainedWidth wide.
bool can_be_fused(const InteractionNetworkShape& shape);

/// The logits of InteractionNetworkImpl::forward by these operators: on a GPU fused kernels, which keep the states of
/// nodes and edges alone; on a CPU plain loops in double, what the kernels are tested against. `weights` are those of
/// `layers`, the layers of `shape`.
torch::Tensor fused_logits(const InteractionNetworkShape& shape, const std::vector<DenseLayer>& layers,
                           const FlatParametersImpl& weights, const GraphTensors& graph, torch::ScalarType type);

}  // namespace starling::learn
