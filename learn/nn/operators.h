#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <utility>

// The operators of learn/ops, differentiable, as functions. Shapes, types and errors are those of learn/ops/schema.cpp.
namespace starling::learn {

/// The k nearest of each of points [N, D] in its event, itself among them: index int64 and d² [N, k], −1 and +infinity
/// where there are fewer.
std::pair<torch::Tensor, torch::Tensor> knn(const torch::Tensor& points, int k, const torch::Tensor& row_splits);

/// Mean and maximum of the messages exp(−factor d²) features [N, P] over lists of knn, side by side: [N, 2 P]. With
/// `subtract`, a row's own features minus these.
torch::Tensor aggregate(const torch::Tensor& features, const torch::Tensor& index, const torch::Tensor& distance2,
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
