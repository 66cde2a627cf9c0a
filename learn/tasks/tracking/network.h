#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "learn/nn/interaction_network.h"
#include "learn/nn/quantized_interaction_network.h"
#include "learn/tasks/tracking/compact_settings.h"
#include "learn/tasks/tracking/start.h"

namespace starling::learn::tracking {

/// The bits of a network in codes, site by site; nothing for one in float.
std::optional<QuantizationSettings> bits_of(const Start& start);

/// The network that a run trains or learns from: in float, or with fake quantisation.
class EdgeNetwork {
 public:
  /// With initial weights, a function of `seed`; masks of the weights, all kept, where `masked`. Throws
  /// ErrorKind::usage (starling::layers, sites).
  EdgeNetwork(const InteractionNetworkShape& shape, const std::optional<QuantizationSettings>& quantization,
              std::uint64_t seed, bool masked = false);
  /// A teacher: the network of a model, in evaluation.
  explicit EdgeNetwork(const Start& start);

  /// Begins with the values of a network of this shape, its thresholds where it has some and this one too.
  void begin_with(const Start& start);

  const InteractionNetworkShape& shape() const { return shape_; }
  torch::nn::Module& module();
  FlatParameters& weights();
  void start_step();
  torch::Tensor logits(const GraphTensors& graph, torch::ScalarType type);
  /// As it stands.
  std::variant<starling::InteractionNetwork, QuantizedNetwork> network();

 private:
  InteractionNetworkShape shape_;
  learn::InteractionNetwork float_{nullptr};  ///< one of the two is there
  QuantizedInteractionNetwork quantized_{nullptr};
};

/// Prunes a network's weights, begun with `start` where it is given (its masks stay), as the settings say. Weights of a
/// layer that never runs go first. Throws ErrorKind::usage where more is to be kept than remains.
void prune(EdgeNetwork& network, const InteractionNetworkShape& shape, const PruningSettings& settings,
           const Start* start);

}  // namespace starling::learn::tracking
