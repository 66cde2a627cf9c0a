#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "learn/nn/flat_parameters.h"
#include "starling/gravnet.h"

namespace starling::learn {

/// The network of docs/definitions.md, Shower network, differentiable, on CPU or GPU. Neighbours and messages are
/// Starling's operators: no [N, k, features] array exists, and forward and backward give the same bytes on every call.
class GravNetImpl : public torch::nn::Module {
 public:
  /// Weights and biases uniform in ±1/√in, a function of `seed` alone. With `batch_norm`, batch normalisation (Ioffe
  /// and Szegedy, ICML 2015) stands between product and ReLU of every layer with a ReLU: over the rows of the batch
  /// while the module is_training(), else by running means and variances: those of all steps so far, and after 1 /
  /// kMomentum steps (start_step) moving by kMomentum per batch. Throws ErrorKind::usage (see starling::layers).
  explicit GravNetImpl(const GravNetShape& shape, std::uint64_t seed = 1, bool batch_norm = false);

  /// inputs [N, shape.inputs] in float or double and row_splits [B + 1] in int32, hits of an event in consecutive rows,
  /// to [N, shape.outputs] in the inputs' type. `type` is what the products between hidden layers run in (kFloat,
  /// kDouble or kBFloat16); the first and the last layer, learned coordinates and statistics are in float at least.
  torch::Tensor forward(const torch::Tensor& inputs, const torch::Tensor& row_splits,
                        torch::ScalarType type = torch::kFloat);

  /// Counts a step of the training, before its batches: the running statistics move by less, the more there were.
  void start_step();

  const GravNetShape& shape() const { return shape_; }

  /// In the order of starling::layers, of each layer: `<name>.weight`, `<name>.bias`, and with batch normalisation
  /// `<name>.norm_weight`, `<name>.norm_bias`.
  FlatParameters& weights() { return weights_; }

  /// An input feature that the learned coordinates begin with, times one number in blocks 0, 2, … and another in blocks
  /// 1, 3, …
  struct Coordinate {
    int feature = 0;
    float even = 1, odd = 1;
  };
  /// Sets weights so that coordinate i of every block begins as feature i of the list, normalised where there is batch
  /// normalisation, and the message's feature i as kMessageGain times the same. Two channels of every layer, v and −v,
  /// carry a feature past the ReLUs; all other weights stay. A network that begins elsewhere may never find neighbours
  /// that are near in the detector in its later blocks. Throws ErrorKind::usage for more features than the space, the
  /// messages or half a layer have room for.
  void start_from(const std::vector<Coordinate>& coordinates);

  /// The network as it is evaluated: normalisations are folded into weights and biases, exact up to rounding.
  GravNet folded() const;

  static constexpr double kMomentum = 0.02;
  static constexpr float kMessageGain = 10;

 private:
  /// One layer as tensors for this forward pass; absent ones are undefined.
  struct Layer {
    torch::Tensor weight, bias, norm_weight, norm_bias, mean, variance;
  };

  std::vector<Layer> unpack(torch::ScalarType type) const;
  torch::Tensor dense(const torch::Tensor& x, std::size_t layer, const std::vector<Layer>& parts) const;

  GravNetShape shape_;
  std::vector<DenseLayer> layers_;
  FlatParameters weights_{nullptr};
  torch::Tensor means_, variances_;  ///< running, of all normalised layers one after the other; undefined without
  torch::Tensor batches_;            ///< [1] steps that these have seen
  double momentum_ = kMomentum;      ///< of the step at hand
  std::int64_t seen_ = -1;           ///< batches_, on the host; −1 = not read yet
};
TORCH_MODULE(GravNet);

}  // namespace starling::learn
