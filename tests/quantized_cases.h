#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "starling/quantized_network.h"

/// Networks and graphs for tests of quantized_network.h.
namespace starling::quantized_cases {

struct Graph {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;
  std::vector<float> node_features, edge_features;

  GraphView view() const { return {num_nodes, src, dst, node_features, edge_features}; }
};

inline Graph random_graph(const InteractionNetworkShape& shape, std::int32_t nodes, int edges, unsigned seed) {
  Graph graph;
  graph.num_nodes = nodes;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  graph.node_features.resize(std::size_t(nodes) * shape.node_inputs);
  graph.edge_features.resize(std::size_t(edges) * shape.edge_inputs);
  for (float& value : graph.node_features) value = normal(random);
  for (float& value : graph.edge_features) value = normal(random);
  std::uniform_int_distribution<std::int32_t> node(0, std::max(0, nodes - 1));
  for (int i = 0; i < edges; ++i) {
    graph.src.push_back(node(random));
    graph.dst.push_back(node(random));
  }
  return graph;
}

inline InteractionNetwork random_network(const InteractionNetworkShape& shape, unsigned seed) {
  InteractionNetwork network;
  network.shape = shape;
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  for (const DenseLayer& layer : layers(shape)) {
    for (const ArrayShape& array : arrays(layer)) {
      const float scale = array.name.ends_with(".weight") ? std::sqrt(3.f / static_cast<float>(layer.in)) : 0.5f;
      const float shift = array.name.ends_with(".norm_weight") ? 1.f : 0.f;
      for (std::int64_t i = 0; i < array.count(); ++i) {
        network.weights[array.name].push_back(shift + scale * uniform(random));
      }
    }
  }
  return network;
}

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
