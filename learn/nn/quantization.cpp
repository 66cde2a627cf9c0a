#include "learn/nn/quantization.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "starling/error.h"

namespace starling::learn {
namespace {

constexpr int kLeastBits = 2, kMostBits = 12, kMostBiasBits = 32;

std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }

[[noreturn]] void fail(const std::string& text) { throw Error(ErrorKind::usage, "quantization: " + text); }

int checked(const std::string& site, int bits, int most) {
  if (bits < kLeastBits || bits > most) {
    fail(site + " has " + std::to_string(bits) + " bits: expected " + std::to_string(kLeastBits) + ".." +
         std::to_string(most));
  }
  return bits;
}

using Entry = QuantizationSettings::Layer;

// What the longest name says that covers a layer or an MLP.
int bits_of(const QuantizationSettings& settings, const std::string& name, std::optional<int> Entry::*site,
            int otherwise) {
  std::size_t longest = 0;
  for (const Entry& entry : settings.layers) {
    if (!(entry.*site) || !covers(entry.name, name) || entry.name.size() < longest) continue;
    longest = entry.name.size();
    otherwise = *(entry.*site);
  }
  return otherwise;
}

void check_names(const QuantizationSettings& settings, const InteractionNetworkShape& shape) {
  const std::vector<DenseLayer> all = layers(shape);
  const std::vector<std::string> networks = mlps(shape);
  std::set<std::string> seen;
  for (const Entry& entry : settings.layers) {
    if (!seen.insert(entry.name).second) fail("layer \"" + entry.name + "\" is there twice: expected it once");
    if (std::none_of(all.begin(), all.end(), [&](const DenseLayer& one) { return covers(entry.name, one.name); })) {
      fail("layer \"" + entry.name + "\": expected a layer or an MLP of the network, such as edge_network.0.1");
    }
    const auto is_in = [&](const std::string& mlp) { return covers(entry.name, mlp); };
    if (entry.inputs && std::none_of(networks.begin(), networks.end(), is_in)) {
      fail("layer \"" + entry.name + "\" has inputs: expected these of an MLP, such as " + mlp_of(entry.name));
    }
    if (!entry.activations) continue;
    if (std::none_of(all.begin(), all.end(),
                     [&](const DenseLayer& one) { return one.relu && covers(entry.name, one.name); })) {
      fail("layer \"" + entry.name + "\" has activations: expected these of a layer with a ReLU");
    }
  }
}

bool powers_of_two(const QuantizedNetwork& network) {
  const auto is_one = [](float scale) {
    int exponent = 0;
    return std::frexp(scale, &exponent) == 0.5f;
  };
  return std::all_of(network.inputs.begin(), network.inputs.end(),
                     [&](const auto& input) { return is_one(input.second.scale); }) &&
         std::all_of(network.layers.begin(), network.layers.end(), [&](const auto& named) {
           const QuantizedLayer& layer = named.second;
           return is_one(layer.output.scale) &&
                  std::all_of(layer.weight_scale.begin(), layer.weight_scale.end(), is_one);
         });
}

}  // namespace

bool covers(const std::string& name, const std::string& layer) { return (layer + '.').starts_with(name + '.'); }

LearnedQuantization sites(const QuantizationSettings& settings, const InteractionNetworkShape& shape) {
  check_names(settings, shape);
  LearnedQuantization all;
  all.powers_of_two = settings.powers_of_two;
  for (const std::string& mlp : mlps(shape)) {
    const bool features = mlp.ends_with("_encoder");
    const int bits = bits_of(settings, mlp, &Entry::inputs, features ? settings.features : settings.inputs);
    all.inputs[mlp] = {checked(mlp + ".input", bits, kMostBits), 1.f};
  }
  for (const DenseLayer& layer : layers(shape)) {
    const auto bits = [&](const char* site, std::optional<int> Entry::*entry, int otherwise, int most) {
      return checked(layer.name + site, bits_of(settings, layer.name, entry, otherwise), most);
    };
    LearnedQuantization::Layer& one = all.layers[layer.name];
    one.weight_bits = bits(".weight", &Entry::weights, settings.weights, kMostBits);
    one.bias_bits = bits(".bias", &Entry::biases, settings.biases, kMostBiasBits);
    one.output_bits = bits(".output", &Entry::activations, settings.activations, kMostBits);
    one.per_channel = settings.per_channel;
  }
  return all;
}

DequantizedNetwork dequantized(const QuantizedNetwork& network) {
  DequantizedNetwork result;
  result.network.shape = network.shape;
  result.learned.powers_of_two = powers_of_two(network);
  // A scale that was rounded up came from a threshold between half of what it stands for and all of it. From all of it
  // the least step upwards would double the scale.
  const float part = result.learned.powers_of_two ? 0.75f : 1.f;
  float input_scale = 1.f;
  for (const DenseLayer& dense : layers(network.shape)) {
    const std::string mlp = mlp_of(dense.name);
    if (dense.name == mlp + ".0") {
      const Quantizer& input = network.inputs.at(mlp);
      result.learned.inputs[mlp] = {input.bits, part * input.scale * static_cast<float>(1 << (input.bits - 1))};
      input_scale = input.scale;
    }
    const QuantizedLayer& layer = network.layers.at(dense.name);
    const std::size_t scales = layer.weight_scale.size(), each = layer.weight.size() / scales;
    std::vector<float>& weight = result.network.weights[dense.name + ".weight"];
    for (std::size_t i = 0; i < layer.weight.size(); ++i) {
      weight.push_back(static_cast<float>(layer.weight[i]) * layer.weight_scale[i / each]);
    }
    if (dense.bias) {
      std::vector<float>& bias = result.network.weights[dense.name + ".bias"];
      for (std::size_t i = 0; i < layer.bias.size(); ++i) {
        bias.push_back(static_cast<float>(layer.bias[i]) * (layer.weight_scale[scales == 1 ? 0 : i] * input_scale));
      }
    }
    if (dense.norm == Norm::batch) {
      result.network.weights[dense.name + ".norm_weight"] = layer.norm_weight;
      result.network.weights[dense.name + ".norm_bias"] = layer.norm_bias;
    }
    LearnedQuantization::Layer& learned = result.learned.layers[dense.name];
    learned = {layer.weight_bits, layer.bias_bits, scales > 1, layer.kept, layer.output.bits, 1.f};
    if (dense.relu) learned.threshold = part * layer.output.scale * static_cast<float>((1 << layer.output.bits) - 1);
    input_scale = layer.output.scale;
  }
  return result;
}

}  // namespace starling::learn
