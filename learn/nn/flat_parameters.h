#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "starling/dense.h"

namespace starling::learn {

/// The parameters of a network: named tensors, one after the other in one flat parameter, so that a step of an
/// optimiser is one kernel. A network reads them through unpack() alone: masks and fake quantisation enter there.
class FlatParametersImpl : public torch::nn::Module {
 public:
  struct Named {
    std::string name;
    torch::Tensor value;  ///< its shape and its value at the start, in float
  };
  explicit FlatParametersImpl(const std::vector<Named>& tensors);

  /// [number of parameters], in the order of the constructor's list.
  torch::Tensor& flat() { return flat_; }

  /// Masks of pruned weights, one value per parameter in the buffer `mask`: from then on a parameter whose value there
  /// is 0 counts as 0 wherever it is read, and has no gradient. All are 1 at first.
  void register_masks();
  /// [number of parameters], undefined without register_masks().
  torch::Tensor& mask() { return mask_; }
  /// The mask of one tensor, row-major, 1 = kept; empty where all of it is kept.
  std::vector<std::uint8_t> kept(const std::string& name) const;

  /// The tensors to compute with, in the order of the constructor's list: differentiable views of flat(), converted to
  /// `type`.
  std::vector<torch::Tensor> unpack(torch::ScalarType type) const;

  /// As unpack(), of an array laid out as masked().
  std::vector<torch::Tensor> views(const torch::Tensor& flat) const;
  /// flat() as it counts: 0 where masks say so. Differentiable.
  torch::Tensor masked() const { return mask_.defined() ? flat_ * mask_ : flat_; }
  /// Numbers of values, in the order of the constructor's list.
  const std::vector<std::int64_t>& sizes() const { return sizes_; }

  /// The tensors to compute with, in turn `counts` of them joined as they lie in flat(), a tensor of one dimension per
  /// count.
  std::vector<torch::Tensor> unpack_joined(torch::ScalarType type, const std::vector<std::size_t>& counts) const;

  /// Splits an array laid out as flat() by name: parameters, or their gradient.
  std::map<std::string, torch::Tensor> split(const torch::Tensor& flat) const;

  /// The values by name, row-major, as model files have them. set_values throws ErrorKind::input for a missing or extra
  /// tensor and for a wrong number of values.
  std::map<std::string, std::vector<float>> values() const;
  void set_values(const std::map<std::string, std::vector<float>>& values);

 private:
  std::vector<std::string> names_;
  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<std::int64_t> sizes_;
  torch::Tensor flat_, mask_;
};
TORCH_MODULE(FlatParameters);

/// The arrays of the layers, in the order of starling::arrays, as training starts: weights and biases uniform in
/// ±1/√inputs, drawn one after the other from `seed`; normalisations of scale 1 and shift 0.
std::vector<FlatParametersImpl::Named> initial_values(const std::vector<DenseLayer>& layers, std::uint64_t seed);

}  // namespace starling::learn
