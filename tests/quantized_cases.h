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

// The table of cases: each function calls visit(name, network, graph) for each of its own.

template <typename Visit>
void every_width(const Visit& visit) {
  for (const int hidden : {1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 47, 48, 64, 65, 96, 128})
    visit("width " + std::to_string(hidden), quantized(plain(hidden, 2), {}), random_graph({}, 40, 90, 1));
}

template <typename Visit>
void every_number_of_bits(const Visit& visit) {
  for (int bits = 2; bits <= 12; ++bits) {
    for (const bool per_channel : {false, true}) {
      const Settings settings{
          .weight_bits = bits, .activation_bits = bits, .bias_bits = 32, .per_channel = per_channel};
      for (const int hidden : {8, 48}) {
        visit(std::to_string(bits) + " bits, per channel " + std::to_string(per_channel),
              quantized(plain(hidden, 3), settings), random_graph({}, 50, 120, bits));
      }
    }
  }
}

template <typename Visit>
void every_variant(const Visit& visit) {
  for (int number = 0; number < 24; ++number) {
    InteractionNetworkShape shape = variant(20, 3, number);
    for (const Settings& settings : {Settings{}, Settings{.mixed = true, .pruned = 0.8},
                                     Settings{.weight_bits = 12, .activation_bits = 12, .mixed = true},
                                     Settings{.bias_bits = 16, .per_channel = true}}) {
      const std::string name = "variant " + std::to_string(number) + ", bits " + std::to_string(settings.weight_bits);
      const QuantizedNetwork network = quantized(shape, settings);
      visit(name + ", sums per node", network, random_graph(shape, 40, 90, 2));
      visit(name + ", products per edge", network, random_graph(shape, 60, 90, 2));
      shape.steps = 1 + shape.steps % 3;
    }
  }
}

template <typename Visit>
void every_graph_size(const Visit& visit) {
  for (const Norm norm : {Norm::layer, Norm::batch, Norm::none}) {
    InteractionNetworkShape shape = plain(12, 2);
    shape.norm = norm;
    shape.node_inputs = 3;
    shape.edge_inputs = 1;
    const QuantizedNetwork network = quantized(shape, {});
    for (int edges = 0; edges <= 70; edges += edges < 20 ? 1 : 7) {
      visit(std::to_string(edges) + " edges, norm " + to_string(norm), network,
            random_graph(shape, std::max(1, edges / 2), edges, edges));
    }
    visit("many edges, norm " + to_string(norm), network, random_graph(shape, 900, 2500, 3));
  }
}

/// What an encoder reads may be finer than the states, which then still have one byte.
template <typename Visit>
void features_of_more_bits_than_states(const Visit& visit) {
  const InteractionNetwork network = random_network(plain(24, 2), 3);
  LearnedQuantization finer = learned(network, {.weight_bits = 6, .activation_bits = 6}, 1);
  for (const char* const encoder : {"node_encoder", "edge_encoder"}) {
    finer.inputs[encoder].bits = 12;
    finer.layers[std::string(encoder) + ".0"].weight_bits = 11;
  }
  visit("finer features, codes of 8 bits", quantize(network, finer), random_graph({}, 50, 120, 1));
}

/// The largest weights and codes there are of so many bits.
template <typename Visit>
void largest_products(const Visit& visit) {
  struct Case {
    int weights, states, hidden;
    const char* codes;
  };
  constexpr const char *kBytes = "codes of 8 bits", *kWords = "codes of 16 bits";
  for (const Case& c : {Case{2, 8, 48, kBytes},
                        {6, 6, 48, kBytes},
                        {7, 7, 48, kBytes},
                        {6, 8, 48, kBytes},
                        {8, 6, 48, kBytes},
                        {8, 7, 48, kBytes},
                        {8, 8, 48, kBytes},
                        {8, 8, 19, kBytes},
                        {9, 8, 48, kWords},
                        {8, 9, 48, kWords},
                        {12, 2, 48, kWords},
                        {12, 12, 20, kWords}}) {
    QuantizedNetwork codes =
        quantized(plain(c.hidden, 2),
                  {.weight_bits = c.weights, .activation_bits = c.states, .bias_bits = 16, .threshold = 0.5f});
    for (auto& [name, layer] : codes.layers) {
      const auto most = static_cast<std::int16_t>((1 << (c.weights - 1)) - 1);
      for (std::size_t i = 0; i < layer.weight.size(); ++i) layer.weight[i] = i % 5 == 0 ? -most : most;
    }
    Graph graph = random_graph({}, 50, 120, 1);
    for (float& value : graph.node_features) value *= 1e3f;
    visit(std::to_string(c.weights) + " x " + std::to_string(c.states) + ", " + c.codes, codes, graph);
  }
}

/// Weights that a mask takes out: of every `length` inputs of an output, in order, those from number `kept` on, or, for
/// kept = 0, all of them in two of three such blocks.
inline void prune(QuantizedNetwork& network, int length, int kept) {
  for (const DenseLayer& layer : layers(network.shape)) {
    std::vector<std::int16_t>& weight = network.layers.at(layer.name).weight;
    for (int i = 0; i < layer.in * layer.out; ++i) {
      const int place = i % layer.in, block = i / layer.in + place / length;
      if (kept == 0 ? block % 3 != 0 : (place + block) % length >= kept) weight[i] = 0;
    }
  }
}

template <typename Visit>
void masks_of_blocks(const Visit& visit) {
  for (const int bits : {4, 8, 10}) {
    for (const auto& [length, kept] : {std::pair(4, 2), {4, 0}, {16, 0}, {1000, 0}}) {
      QuantizedNetwork network = quantized(plain(48, 2), {.weight_bits = bits, .activation_bits = bits});
      prune(network, length, kept);
      visit(std::to_string(bits) + " bits, " + std::to_string(kept) + " of " + std::to_string(length), network,
            random_graph({}, 40, 90, bits));
    }
  }
}

template <typename Visit>
void pruned_networks(const Visit& visit) {
  for (const int bits : {2, 6, 8, 12}) {
    for (const double pruned : {0.5, 0.8, 0.9, 0.98, 1.}) {
      for (const int hidden : {7, 48, 80}) {
        const Settings settings{
            .weight_bits = bits, .activation_bits = bits, .bias_bits = 16, .pruned = pruned, .threshold = 1.f};
        visit(
            std::to_string(bits) + " bits, " + std::to_string(pruned) + " pruned, " + std::to_string(hidden) + " wide",
            quantized(plain(hidden, 2), settings), random_graph({}, 40, 90, bits));
      }
    }
  }
}

/// Sums that 32 bits do not hold: the largest weights and codes there are.
template <typename Visit>
void sums_beyond_32_bits(const Visit& visit) {
  const Settings settings{.weight_bits = 12, .activation_bits = 12, .bias_bits = 32};
  for (const Norm norm : {Norm::layer, Norm::batch, Norm::none}) {
    InteractionNetworkShape shape = plain(128, 2);
    shape.norm = norm;
    QuantizedNetwork network = quantized(shape, settings);
    for (auto& [name, layer] : network.layers) {
      for (std::size_t i = 0; i < layer.weight.size(); ++i) layer.weight[i] = i % 7 == 0 ? -2047 : 2047;
    }
    Graph graph = random_graph(shape, 10, 20, 1);
    for (float& value : graph.edge_features) value = 1e6f;
    visit("64 bits, norm " + to_string(norm), network, graph);
  }
}

template <typename Visit>
void values_outside_every_range(const Visit& visit) {
  const InteractionNetworkShape shape = plain(16, 2);
  Graph graph = random_graph(shape, 10, 40, 1);
  const float values[] = {INFINITY, -INFINITY, std::nanf(""), 3e38f, -3e38f, 1e-45f, -0.f};
  for (std::size_t i = 0; i < graph.edge_features.size(); ++i) graph.edge_features[i] = values[i % 7];
  for (std::size_t i = 0; i < graph.node_features.size(); ++i) graph.node_features[i] = values[i % 7];
  for (const float threshold : {1e-9f, 1e-3f, 1e3f, 1e9f}) {
    for (const int bits : {2, 8, 12}) {
      visit("threshold " + std::to_string(threshold) + ", " + std::to_string(bits) + " bits",
            quantized(shape, {.weight_bits = bits, .activation_bits = bits, .threshold = threshold}), graph);
    }
  }
}

/// Rows whose sums are all equal, or nearly: nothing is left of their variance but rounding and epsilon.
template <typename Visit>
void rows_without_variance(const Visit& visit) {
  for (const int different : {0, 1, 5}) {
    for (const float scale : {1e-6f, 1e-3f, 1.f}) {
      QuantizedNetwork network = quantized(plain(48, 2), {.bias_bits = 32});
      for (auto& [name, layer] : network.layers) {
        const std::size_t in = layer.weight.size() / std::max<std::size_t>(1, layer.bias.size());
        for (std::size_t i = different * in; i < layer.weight.size(); ++i) layer.weight[i] = layer.weight[i % in];
        for (std::size_t i = 0; i < layer.bias.size(); ++i) layer.bias[i] = 100000000 / static_cast<int>(in);
        layer.weight_scale.assign(1, scale);
      }
      visit(std::to_string(different) + " rows differ, scale " + std::to_string(scale), network,
            random_graph({}, 30, 70, 1));
    }
  }
}

template <typename Visit>
void ways_in_which_edges_meet_nodes(const Visit& visit) {
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    InteractionNetworkShape shape = plain(20, 3);
    shape.norm = norm;
    Graph graph = random_graph(shape, 1500, 1500, 4);
    for (int i = 0; i < 500; ++i) graph.src[i] = 17;       // a hub that edges leave
    for (int i = 500; i < 1000; ++i) graph.dst[i] = 1499;  // a hub that they reach
    for (int i = 1000; i < 1010; ++i) graph.src[i] = graph.dst[i] = 5;
    visit("hubs, self edges, repeated edges and nodes without edges, norm " + to_string(norm), quantized(shape, {}),
          graph);
  }
  Graph graph = random_graph({}, 3, 300, 5);
  std::fill(graph.src.begin(), graph.src.end(), 0);
  std::fill(graph.dst.begin(), graph.dst.end(), 2);
  visit("all edges between two nodes", quantized(plain(48, 3), {}), graph);
  std::fill(graph.dst.begin(), graph.dst.end(), 0);
  visit("all edges on one node", quantized(plain(48, 3), {}), graph);
}

}  // namespace starling::quantized_cases
