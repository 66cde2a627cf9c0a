#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "starling/interaction_network.h"

namespace starling::learn {

/// A graph as the network takes it: `nodes` [N, node_inputs] and `edges` [E, edge_inputs] in float, `src` and `dst` [E]
/// in int32, all on the network's device.
struct GraphTensors {
  torch::Tensor nodes, edges, src, dst;
};

/// The interaction network of the definitions (section 1), differentiable, on CPU or GPU.
///
/// All parameters lie in one tensor, so that an optimiser's step is a handful of kernels; the layers' weights are views
/// of it. The first layer of an edge network is multiplied per node and then gathered, so no [E, 6H] array exists. The
/// last node network is held and never run. On the CPU, forward and backward give the same bytes on every call.
class InteractionNetworkImpl : public torch::nn::Module {
 public:
  /// Weights and biases uniform in ±1/√in, a function of `seed` alone. Throws ErrorKind::usage (see starling::layers).
  explicit InteractionNetworkImpl(const InteractionNetworkShape& architecture, std::uint64_t seed = 1);

  /// One logit an edge, [E], in float. `type` is what the products between hidden layers run in (kFloat, kDouble or
  /// kBFloat16); inputs enter in full precision, and normalisation and sums over edges accumulate in float at least.
  torch::Tensor forward(const GraphTensors& graph, torch::ScalarType type = torch::kFloat);

  const InteractionNetworkShape& architecture() const { return architecture_; }

  /// [parameter_count], in the order of starling::layers: weight, bias, norm_weight, norm_bias of each layer.
  torch::Tensor& flat() { return flat_; }

  /// To and from the weights of a starling::InteractionNetwork. set_weights throws ErrorKind::input for a missing or
  /// extra tensor or a wrong size.
  std::map<std::string, std::vector<float>> weights() const;
  void set_weights(const std::map<std::string, std::vector<float>>& weights);

  /// Splits an array laid out as flat() by tensor name: parameters, or their gradient.
  std::map<std::string, torch::Tensor> split(const torch::Tensor& flat) const;

 private:
  struct Piece {
    std::string name;
    std::vector<std::int64_t> shape;
    std::int64_t size = 0;
  };
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

  InteractionNetworkShape architecture_;
  std::vector<DenseLayer> layers_;
  std::vector<Piece> pieces_;
  std::vector<std::int64_t> sizes_;
  torch::Tensor flat_;
};
TORCH_MODULE(InteractionNetwork);

/// Binary cross-entropy of logits against labels in {0, 1}, weighted per edge and divided by Σ|w| (definitions,
/// section 2); 0 where all weights are 0. All [E] in float.
torch::Tensor edge_loss(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& weights);

}  // namespace starling::learn
