#pragma once

#include <torch/torch.h>

#include "learn/tasks/showers/loss_settings.h"
#include "starling/shower_finder.h"

namespace starling::learn::showers {

/// What the loss compares outputs with; see sample.h.
struct Labels {
  torch::Tensor object;   ///< [N] int32
  torch::Tensor targets;  ///< [N, kTargets]
  torch::Tensor splits;   ///< [B + 1] int32
};

/// The loss of a batch, a mean over its events: object condensation with payload losses for energy, class and position.
/// `outputs` [N, layout.columns()], `features` [N, kShowerFeatures].
torch::Tensor shower_loss(const torch::Tensor& outputs, const torch::Tensor& features, const Labels& labels,
                          const ShowerOutputs& layout, const LossSettings& settings);

}  // namespace starling::learn::showers
