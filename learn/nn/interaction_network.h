#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "learn/nn/flat_parameters.h"
#include "starling/interaction_network.h"

namespace starling::learn {

/// A graph as the network takes it: `nodes` [N, node_inputs] and `edges` [E, edge_inputs] in float, `src` and `dst` [E]
/// in int32, all on the network's device.
struct GraphTensors {
  torch::Tensor nodes, edges, src, dst;
};

/// The interaction network (docs/definitions.md, Network), differentiable, on CPU or GPU.
///
/// The first layer of an edge network is multiplied per node and then gathered, so no [E, 6H] array exists. The last
/// node network has parameters and is never run. On a GPU a network that can_be_fused() is computed by fused kernels
/// (learn/nn/fused_network.h), all else by LibTorch's operations. Forward and backward give the same bytes on every
/// call on one device.
class InteractionNetworkImpl : public torch::nn::Module {
 public:
  /// Weights and biases uniform in ±1/√in, a function of `seed` alone. Throws ErrorKind::usage (see starling::layers).
  explicit InteractionNetworkImpl(const InteractionNetworkShape& shape, std::uint64_t seed = 1);

  /// One logit per edge, [E], in float. `type` is what the products between hidden layers run in (kFloat, kDouble or
  /// kBFloat16); inputs enter in full precision, and normalisation and sums over edges accumulate in float at least.
  torch::Tensor forward(const GraphTensors& graph, torch::ScalarType type = torch::kFloat);

  const InteractionNetworkShape& shape() const { return shape_; }

  /// In the order of starling::layers, of each layer: `<name>.weight`, `<name>.bias`, `<name>.norm_weight`,
  /// `<name>.norm_bias`, as in a model file.
  FlatParameters& weights() { return weights_; }

 private:
  /// One layer as tensors for this forward pass; absent ones are undefined.
  struct Weights {
    torch::Tensor weight, bias, norm_weight, norm_bias;
  };

  std::size_t first_layer(const std::string& mlp) const;
  std::vector<Weights> unpack(torch::ScalarType type) const;
  torch::Tensor finish(torch::Tensor sums, std::size_t layer, const std::vector<Weights>& weights,
                       torch::ScalarType type) const;
  torch::Tensor encode(const std::string& mlp, const torch::Tensor& inputs, const std::vector<Weights>& weights,
                       torch::ScalarType type) const;

  InteractionNetworkShape shape_;
  std::vector<DenseLayer> layers_;
  FlatParameters weights_{nullptr};
};
TORCH_MODULE(InteractionNetwork);

/// Binary cross-entropy of logits against labels in {0, 1}, weighted per edge and divided by Σ|w|
/// (docs/definitions.md, Training); 0 where all weights are 0. All [E] in float.
torch::Tensor edge_loss(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& weights);

}  // namespace starling::learn
