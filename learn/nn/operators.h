#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>

// The operators of learn/ops, differentiable, as functions. Shapes, types and errors are those of learn/ops/schema.cpp.
namespace starling::learn {

/// Mean and maximum of the messages exp(−factor d²) features [N, P] from the k nearest in space [N, S] of each row in
/// its event, itself among them, side by side: [N, 2 P]. With `subtract`, a row's own features minus these.
torch::Tensor gravnet(const torch::Tensor& space, const torch::Tensor& features, int k, const torch::Tensor& row_splits,
                      double factor, bool subtract);

/// The terms of object condensation: one value per event [B], payload [B, P].
struct CondensationTensors {
  torch::Tensor attraction, repulsion, objects, noise, payload;
};

struct CondensationInputs {
  torch::Tensor beta;                          ///< [N], in 0 to 1
  torch::Tensor x;                             ///< [N, D] cluster coordinates
  torch::Tensor truth;                         ///< [N] int32, the object of a hit; negative: noise
  torch::Tensor splits;                        ///< [B + 1] int32
  std::optional<torch::Tensor> scale, weight;  ///< [N]
  std::optional<torch::Tensor> payload;        ///< [N, P]
};

/// `form` is "paper", "slide" or "fgc".
CondensationTensors condensation_loss(const CondensationInputs& inputs, const std::string& form, double q_min);

}  // namespace starling::learn
