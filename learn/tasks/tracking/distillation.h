#pragma once

#include <torch/torch.h>

namespace starling::learn::tracking {

/// α · loss + (1 − α) · T² · the mean binary cross-entropy of σ(logits / T) against σ(teacher / T), over all edges
/// (docs/definitions.md, Distillation). Logits and the teacher's are [E].
torch::Tensor distilled_loss(const torch::Tensor& loss, const torch::Tensor& logits, const torch::Tensor& teacher,
                             double alpha, double temperature);

}  // namespace starling::learn::tracking
