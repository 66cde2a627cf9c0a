#include "learn/train/adamw.h"

#include <utility>
#include <vector>

namespace starling::learn {

AdamW::AdamW(torch::Tensor parameters, double weight_decay, bool amsgrad)
    : mean(torch::zeros_like(parameters)),
      square(torch::zeros_like(parameters)),
      largest_square(torch::zeros_like(parameters)),
      steps(torch::zeros({}, parameters.options())),
      parameters_(std::move(parameters)),
      weight_decay_(weight_decay),
      amsgrad_(amsgrad) {
  for (torch::Tensor* tensor : {&mean, &square, &largest_square, &steps}) tensor->requires_grad_(false);
}

void AdamW::step(double rate, const std::optional<torch::Tensor>& skip) {
  const torch::NoGradGuard guard;
  skip ? steps.add_(1 - *skip) : steps.add_(1);
  std::vector<torch::Tensor> largest;
  if (amsgrad_) largest.push_back(largest_square);
  torch::_fused_adamw_({parameters_}, {parameters_.grad()}, {mean}, {square}, largest, {steps}, rate, 0.9, 0.999,
                       weight_decay_, 1e-8, amsgrad_, /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/skip);
}

}  // namespace starling::learn
