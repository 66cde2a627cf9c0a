#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "learn/nn/flat_parameters.h"
#include "learn/nn/interaction_network.h"
#include "learn/nn/quantization.h"

namespace starling::learn {

/// The interaction network with fake quantisation (docs/definitions.md, Fake quantisation), differentiable, on CPU or
/// GPU, in float: weights, biases, what leaves a ReLU and what an MLP reads are rounded to codes. What it computes is
/// what quantized() computes with integers but for the rounding of float sums and of layer normalisation.
///
/// Its parameters are those of InteractionNetwork, then `thresholds`, one per site: what each MLP reads, in the order
/// of mlps(), then what leaves each layer, in the order of layers(). In the first collect_steps steps (start_step)
/// thresholds come from what the sites meet, and the buffer `ranges` follows them; then they are learned. Until then
/// evaluation (eval()) takes the ranges.
class QuantizedInteractionNetworkImpl : public torch::nn::Module {
 public:
  /// Throws ErrorKind::usage (see starling::layers, sites).
  QuantizedInteractionNetworkImpl(const InteractionNetworkShape& shape, const QuantizationSettings& settings,
                                  std::uint64_t seed = 1);

  /// Before each step of a training.
  void start_step();

  /// One logit per edge, [E]. `codes`, where it is given, gets the codes of every layer that runs, as
  /// quantized_network_reference() names and orders them.
  torch::Tensor forward(const GraphTensors& graph, std::map<std::string, torch::Tensor>* codes = nullptr);

  const InteractionNetworkShape& shape() const { return shape_; }
  FlatParameters& weights() { return weights_; }

  /// Begins with the values of a network of this shape. Where `learned` is given, with its thresholds: none is
  /// collected. Throws ErrorKind::usage for a network of another shape.
  void begin_with(const starling::InteractionNetwork& network, const LearnedQuantization* learned = nullptr);

  /// The network in codes, as it stands. Throws ErrorKind::usage for values that are not finite.
  QuantizedNetwork quantized();

 private:
  struct Site {
    int bits;
    bool is_signed;
    double percentile;
  };
  /// Values that are codes times a scale.
  struct Codes {
    torch::Tensor values, scale;
  };
  /// One layer for this forward pass; an absent bias is undefined, and in float.
  struct Weights {
    Codes weight;
    torch::Tensor bias, norm_weight, norm_bias;
  };
  class Pass;

  std::size_t input_site(const std::string& mlp) const { return inputs_.at(mlp); }
  std::size_t output_site(std::size_t layer) const { return inputs_.size() + layer; }
  std::size_t first_layer(const std::string& mlp) const { return first_.at(mlp); }
  bool collects() { return is_training() && steps_done() <= settings_.collect_steps; }
  std::int64_t steps_done();

  InteractionNetworkShape shape_;
  QuantizationSettings settings_;
  LearnedQuantization bits_;
  std::vector<DenseLayer> layers_;
  std::map<std::string, std::size_t> inputs_, first_;  ///< by MLP: its site, its first layer
  std::vector<Site> sites_;
  FlatParameters weights_{nullptr};
  std::vector<std::int64_t> outputs_, weight_bits_;  ///< by tensor of weights_: of weights, 0 for others
  torch::Tensor ranges_;                             ///< [sites], 0 where nothing was met yet
  torch::Tensor steps_;                              ///< [], training steps begun
  std::int64_t known_steps_ = -1;
};
TORCH_MODULE(QuantizedInteractionNetwork);

}  // namespace starling::learn
