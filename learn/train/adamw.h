#pragma once

#include <torch/torch.h>

#include <optional>

namespace starling::learn {

/// AdamW (Loshchilov and Hutter, ICLR 2019), with the running maximum of AMSGrad (Reddi et al., ICLR 2018) where asked
/// for: β = (0.9, 0.999), ε = 1e-8. One tensor of parameters, one kernel a step.
class AdamW {
 public:
  AdamW(torch::Tensor parameters, double weight_decay, bool amsgrad);

  /// Moves the parameters against their gradient. `skip`, where it is given, is one float on the parameters' device: 1
  /// = the step is not done.
  void step(double rate, const std::optional<torch::Tensor>& skip = std::nullopt);

  torch::Tensor mean, square, largest_square;  ///< as the parameters; zero at the beginning
  torch::Tensor steps;                         ///< one float: steps done

 private:
  torch::Tensor parameters_;
  double weight_decay_;
  bool amsgrad_;
};

}  // namespace starling::learn
