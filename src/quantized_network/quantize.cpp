#include <algorithm>
#include <cmath>

#include "interaction_network/shape.h"
#include "quantized_network/structure.h"

namespace starling {
namespace {

using quantized_network::kLeastBits, quantized_network::kMostBits, quantized_network::kMostBiasBits;

constexpr float kSmallest = 1e-10f;  // of a threshold and of the largest weight

void check_bits(const std::string& name, int bits, int most) {
  if (bits >= kLeastBits && bits <= most) return;
  throw Error(ErrorKind::usage, name + ": " + std::to_string(bits) + " bits, expected " + std::to_string(kLeastBits) +
                                    ".." + std::to_string(most));
}

// The scale at which `steps` steps reach from 0 to `largest`; the least power of two not below it, where asked for.
float scale_of(float largest, int steps, bool power_of_two) {
  const float scale = std::max(largest, kSmallest) / static_cast<float>(steps);
  if (!power_of_two) return scale;
  int exponent = 0;
  const float mantissa = std::frexp(scale, &exponent);  // in [0.5, 1)
  return std::ldexp(1.f, mantissa == 0.5f ? exponent - 1 : exponent);
}

float scale_of_threshold(const std::string& name, float threshold, int steps, bool power_of_two) {
  if (!std::isfinite(threshold)) {
    throw Error(ErrorKind::usage, name + ": threshold is " + std::to_string(threshold) + ", expected a finite number");
  }
  return scale_of(std::abs(threshold), steps, power_of_two);
}

template <typename Map>
const typename Map::mapped_type& entry(const Map& map, const std::string& name, const char* what) {
  const auto found = map.find(name);
  if (found == map.end()) throw Error(ErrorKind::usage, std::string(what) + " " + name + " is missing");
  return found->second;
}

QuantizedLayer quantized_layer(const DenseLayer& dense, const Weights& weights,
                               const LearnedQuantization::Layer& learned, float input_scale, bool powers_of_two) {
  check_bits(dense.name + ".weight", learned.weight_bits, kMostBits);
  const std::vector<float>& weight = weights.at(dense.name + ".weight");
  if (!learned.kept.empty() && learned.kept.size() != weight.size()) {
    throw Error(ErrorKind::usage, dense.name + ".weight_mask has " + std::to_string(learned.kept.size()) +
                                      " values, expected " + std::to_string(weight.size()));
  }
  QuantizedLayer layer;
  layer.weight_bits = learned.weight_bits;
  layer.kept = learned.kept;
  const std::size_t out = dense.out;
  const auto kept = [&](std::size_t i) { return layer.kept.empty() || layer.kept[i] != 0; };

  const int most = (1 << (learned.weight_bits - 1)) - 1;
  const std::size_t scales = learned.per_channel ? out : 1, each = weight.size() / scales;
  layer.weight.resize(weight.size());
  for (std::size_t channel = 0; channel < scales; ++channel) {
    float largest = 0.f;
    for (std::size_t i = channel * each; i < (channel + 1) * each; ++i) {
      if (kept(i)) largest = std::max(largest, std::abs(weight[i]));
    }
    const dense::CodeGrid grid{scale_of(largest, most, powers_of_two), -most, most};
    layer.weight_scale.push_back(grid.scale);
    for (std::size_t i = channel * each; i < (channel + 1) * each; ++i) {
      layer.weight[i] = static_cast<std::int16_t>(kept(i) ? dense::code_of(weight[i], grid) : 0);
    }
  }
  if (dense.bias) {
    check_bits(dense.name + ".bias", learned.bias_bits, kMostBiasBits);
    layer.bias_bits = learned.bias_bits;
    const std::vector<float>& bias = weights.at(dense.name + ".bias");
    const double half = std::ldexp(1., learned.bias_bits - 1);
    // The range in float32, in which 2^31 - 1 is 2^31.
    const float lowest = static_cast<float>(-half), highest = static_cast<float>(half - 1.);
    for (std::size_t i = 0; i < out; ++i) {
      const float scale = layer.weight_scale[learned.per_channel ? i : 0] * input_scale;
      const float code = std::clamp(std::nearbyint(bias[i] / scale), lowest, highest);
      layer.bias.push_back(static_cast<std::int32_t>(std::min(double{code}, half - 1.)));
    }
  }
  if (dense.relu) {
    check_bits(dense.name + ".output", learned.output_bits, kMostBits);
    layer.output = {learned.output_bits, scale_of_threshold(dense.name + ".output", learned.threshold,
                                                            (1 << learned.output_bits) - 1, powers_of_two)};
  }
  if (dense.norm == Norm::batch) {
    layer.norm_weight = weights.at(dense.name + ".norm_weight");
    layer.norm_bias = weights.at(dense.name + ".norm_bias");
  }
  return layer;
}

}  // namespace

QuantizedNetwork quantize(const InteractionNetwork& network, const LearnedQuantization& learned) {
  interaction_network::check_weights(network, ErrorKind::usage, "");
  QuantizedNetwork quantized;
  quantized.shape = network.shape;
  float input_scale = 1.f;
  for (const DenseLayer& dense : layers(network.shape)) {
    if (quantized_network::place_of(dense.name) == 0) {
      const std::string mlp = quantized_network::mlp_of(dense.name);
      const LearnedQuantization::Input& input = entry(learned.inputs, mlp, "input of");
      check_bits(mlp + ".input", input.bits, kMostBits);
      input_scale = scale_of_threshold(mlp + ".input", input.threshold, 1 << (input.bits - 1), learned.powers_of_two);
      quantized.inputs[mlp] = {input.bits, input_scale};
    }
    QuantizedLayer& layer = quantized.layers[dense.name];
    layer = quantized_layer(dense, network.weights, entry(learned.layers, dense.name, "layer"), input_scale,
                            learned.powers_of_two);
    input_scale = layer.output.scale;
  }
  if (learned.layers.size() != quantized.layers.size() || learned.inputs.size() != quantized.inputs.size()) {
    throw Error(ErrorKind::usage, "quantisation of " + std::to_string(learned.layers.size()) + " layers and " +
                                      std::to_string(learned.inputs.size()) + " inputs, expected " +
                                      std::to_string(quantized.layers.size()) + " and " +
                                      std::to_string(quantized.inputs.size()));
  }
  quantized_network::check(quantized, ErrorKind::usage, "");
  return quantized;
}

}  // namespace starling
