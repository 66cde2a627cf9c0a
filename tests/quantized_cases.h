#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "interaction_network_cases.h"
#include "starling/quantized_network.h"

/// Networks and graphs for tests of quantized_network.h.
namespace starling::quantized_cases {

/// How a test quantises a network: the same everywhere, or, with mixed bits, each site with bits of its own up to
/// these.
struct Settings {
  int weight_bits = 8, activation_bits = 8, bias_bits = 8;
  bool per_channel = false, mixed = false;
  double pruned = 0.;     ///< part of the weights
  float threshold = 3.f;  ///< of ReLUs; inputs have twice as much
};

inline LearnedQuantization learned(const InteractionNetwork& network, const Settings& settings, unsigned seed) {
  LearnedQuantization all;
  std::mt19937 random(seed);
  const auto bits = [&](int most) {
    return settings.mixed ? std::uniform_int_distribution<int>(2, most)(random) : most;
  };
  for (const std::string& mlp : mlps(network.shape)) {
    all.inputs[mlp] = {bits(settings.activation_bits), 2.f * settings.threshold};
  }
  for (const DenseLayer& layer : layers(network.shape)) {
    LearnedQuantization::Layer& one = all.layers[layer.name];
    one.weight_bits = bits(settings.weight_bits);
    one.bias_bits = settings.bias_bits;
    one.output_bits = bits(settings.activation_bits);
    one.per_channel = settings.per_channel;
    one.threshold = settings.threshold;
    if (settings.pruned == 0.) continue;
    for (int i = 0; i < layer.in * layer.out; ++i) {
      one.kept.push_back(std::generate_canonical<double, 32>(random) >= settings.pruned);
    }
  }
  return all;
}

inline QuantizedNetwork quantized(const InteractionNetworkShape& shape, const Settings& settings, unsigned seed = 7) {
  const InteractionNetwork network = random_network(shape, seed);
  return quantize(network, learned(network, settings, seed + 1));
}

}  // namespace starling::quantized_cases
