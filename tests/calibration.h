#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "starling/quantized_network.h"

/// Quantisation after training, for benches. The network loses more by it than by training with quantisation.
namespace starling::calibration {

/// A network in codes of so many bits, biases of 32 and what the encoders read of 12: features span orders of
/// magnitude.
inline QuantizedNetwork quantized_after_training(const InteractionNetwork& network, const GraphView& graph, int bits,
                                                 double pruned = 0.) {
  LearnedQuantization learned;
  for (const std::string& mlp : mlps(network.shape)) learned.inputs[mlp].bits = bits;
  for (const char* const encoder : {"node_encoder", "edge_encoder"}) learned.inputs[encoder].bits = 12;
  for (const DenseLayer& layer : layers(network.shape)) {
    LearnedQuantization::Layer& one = learned.layers[layer.name];
    one.weight_bits = one.output_bits = bits;
    one.bias_bits = 32;
    if (pruned == 0.) continue;
    // The smallest weights of each layer.
    const std::vector<float>& weight = network.weights.at(layer.name + ".weight");
    std::vector<float> sizes;
    for (const float value : weight) sizes.push_back(std::abs(value));
    const auto cut = sizes.begin() + static_cast<std::ptrdiff_t>(pruned * static_cast<double>(sizes.size()));
    std::nth_element(sizes.begin(), cut, sizes.end());
    for (const float value : weight) one.kept.push_back(std::abs(value) >= *cut);
  }
  calibrate(network, std::span(&graph, 1), learned, {.features = 99., .others = 100.});
  return quantize(network, learned);
}

}  // namespace starling::calibration
