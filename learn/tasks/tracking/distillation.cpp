#include "learn/tasks/tracking/distillation.h"

namespace starling::learn::tracking {

torch::Tensor distilled_loss(const torch::Tensor& loss, const torch::Tensor& logits, const torch::Tensor& teacher,
                             double alpha, double temperature) {
  const torch::Tensor soft =
      torch::binary_cross_entropy_with_logits(logits / temperature, torch::sigmoid(teacher.detach() / temperature));
  return alpha * loss + (1 - alpha) * temperature * temperature * soft;
}

}  // namespace starling::learn::tracking
