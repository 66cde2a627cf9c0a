#include "quantized_network/structure.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "interaction_network/shape.h"

namespace starling {

std::vector<std::string> mlps(const InteractionNetworkShape& shape) {
  std::vector<std::string> all;
  for (const DenseLayer& layer : layers(shape)) {
    if (quantized_network::place_of(layer.name) == 0) all.push_back(quantized_network::mlp_of(layer.name));
  }
  return all;
}

namespace quantized_network {
namespace {

class Check {
 public:
  Check(ErrorKind kind, const std::string& where) : kind_(kind), where_(where) {}

  [[noreturn]] void refuse(const std::string& what) const { throw Error(kind_, where_ + what); }

  void bits(const std::string& name, int value, int most) const {
    if (value >= kLeastBits && value <= most) return;
    refuse(name + ": " + std::to_string(value) + " bits, expected " + std::to_string(kLeastBits) + ".." +
           std::to_string(most));
  }

  void scale(const std::string& name, float value) const {
    if (std::isfinite(value) && value > 0.f) return;
    refuse(name + " is " + std::to_string(value) + ", expected a finite number above 0");
  }

  void quantizer(const std::string& bits_name, const std::string& scale_name, const Quantizer& quantizer) const {
    bits(bits_name, quantizer.bits, kMostBits);
    scale(scale_name, quantizer.scale);
  }

  void size(const std::string& name, std::size_t is, std::size_t expected) const {
    if (is == expected) return;
    refuse(name + " has " + std::to_string(is) + " values, expected " + std::to_string(expected));
  }

  template <typename T>
  void codes(const std::string& name, const std::vector<T>& values, std::int64_t lowest, std::int64_t highest) const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] >= lowest && values[i] <= highest) continue;
      refuse(name + ", value " + std::to_string(i) + " is " + std::to_string(std::int64_t{values[i]}) + ", expected " +
             std::to_string(lowest) + ".." + std::to_string(highest));
    }
  }

  void finite(const std::string& name, const std::vector<float>& values) const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(values[i])) continue;
      refuse(name + ", value " + std::to_string(i) + " is " + std::to_string(values[i]) + ", expected a finite number");
    }
  }

  void layer(const DenseLayer& dense, const QuantizedLayer& layer, float input_scale) const {
    const std::size_t out = dense.out, all = out * dense.in;
    bits(dense.name + ".weight", layer.weight_bits, kMostBits);
    size(dense.name + ".weight", layer.weight.size(), all);
    const std::int64_t most = (std::int64_t{1} << (layer.weight_bits - 1)) - 1;
    codes(dense.name + ".weight", layer.weight, -most, most);
    if (!layer.kept.empty()) {
      size(dense.name + ".weight_mask", layer.kept.size(), all);
      codes(dense.name + ".weight_mask", layer.kept, 0, 1);
      for (std::size_t i = 0; i < all; ++i) {
        if (layer.kept[i] == 0 && layer.weight[i] != 0) {
          refuse(dense.name + ".weight, value " + std::to_string(i) + " is " + std::to_string(layer.weight[i]) +
                 ", expected 0: it is pruned");
        }
      }
    }
    const std::string scale_name = dense.name + ".weight_scale";
    if (layer.weight_scale.size() != 1) size(scale_name, layer.weight_scale.size(), out);
    for (const float value : layer.weight_scale) {
      scale(scale_name, value);
      // The scale of the sums is one float32 product.
      if (const float product = input_scale * value; !std::isnormal(product)) {
        refuse(scale_name + " is " + std::to_string(value) + ": times the scale of the input that is " +
               std::to_string(product) + ", expected a normal float32 number");
      }
    }
    if (dense.bias) bits(dense.name + ".bias", layer.bias_bits, kMostBiasBits);
    size(dense.name + ".bias", layer.bias.size(), dense.bias ? out : 0);
    const std::int64_t half = std::int64_t{1} << (layer.bias_bits - 1);
    if (dense.bias) codes(dense.name + ".bias", layer.bias, -half, half - 1);
    if (dense.relu) quantizer(dense.name + ".output", dense.name + ".output_scale", layer.output);
    const std::size_t affine = dense.norm == Norm::batch ? out : 0;
    size(dense.name + ".norm_weight", layer.norm_weight.size(), affine);
    size(dense.name + ".norm_bias", layer.norm_bias.size(), affine);
    finite(dense.name + ".norm_weight", layer.norm_weight);
    finite(dense.name + ".norm_bias", layer.norm_bias);
  }

 private:
  ErrorKind kind_;
  const std::string& where_;
};

}  // namespace

std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }

int place_of(const std::string& layer) { return std::atoi(layer.c_str() + layer.rfind('.') + 1); }

dense::CodeGrid signed_grid(const Quantizer& quantizer) {
  const int half = 1 << (quantizer.bits - 1);
  return {quantizer.scale, -half, half - 1};
}

dense::CodeGrid unsigned_grid(const Quantizer& quantizer) { return {quantizer.scale, 0, (1 << quantizer.bits) - 1}; }

void check(const QuantizedNetwork& network, ErrorKind kind, const std::string& where) {
  const Check check(kind, where);
  interaction_network::check(network.shape, kind, where + "architecture: ");
  float input_scale = 1.f;
  std::size_t known_layers = 0, known_inputs = 0;
  for (const DenseLayer& dense : layers(network.shape)) {
    const auto found = network.layers.find(dense.name);
    if (found == network.layers.end()) check.refuse("layer " + dense.name + " is missing");
    if (place_of(dense.name) == 0) {
      const std::string mlp = mlp_of(dense.name);
      const auto input = network.inputs.find(mlp);
      if (input == network.inputs.end()) check.refuse("input of " + mlp + " is missing");
      check.quantizer(mlp + ".input", mlp + ".input_scale", input->second);
      input_scale = input->second.scale;
      ++known_inputs;
    }
    check.layer(dense, found->second, input_scale);
    input_scale = found->second.output.scale;
    ++known_layers;
  }
  if (known_layers != network.layers.size() || known_inputs != network.inputs.size()) {
    check.refuse("a network of " + std::to_string(network.layers.size()) + " layers and " +
                 std::to_string(network.inputs.size()) + " inputs, expected " + std::to_string(known_layers) + " and " +
                 std::to_string(known_inputs));
  }
}

bool Layer::reads_features() const { return dense.name == "node_encoder.0" || dense.name == "edge_encoder.0"; }

dense::CodeGrid Layer::reachable() const {
  dense::CodeGrid grid = input;
  if (!reads_features()) grid.lowest = 0;
  return grid;
}

bool Layer::bounded() const {
  const double most = static_cast<double>(bound), width = dense.out, step = output.scale;
  if (dense.norm == Norm::layer) {
    return most * width < 0x1p31 && std::sqrt(width) / step < 0x1p30 && floor / (width * width) < 1e30;
  }
  const double largest = *std::max_element(scale.begin(), scale.end());
  // The reciprocals and products that the kernels take are normal numbers.
  return most * largest / step < 0x1p30 && largest / step > 1e-30 && step > 1e-30;
}

std::vector<Layer> arithmetic(const QuantizedNetwork& network) {
  std::vector<Layer> all;
  dense::CodeGrid input;
  for (const DenseLayer& dense : layers(network.shape)) {
    Layer layer;
    layer.dense = dense;
    layer.codes = &network.layers.at(dense.name);
    if (place_of(dense.name) == 0) input = signed_grid(network.inputs.at(mlp_of(dense.name)));
    layer.input = input;
    if (dense.relu) layer.output = input = unsigned_grid(layer.codes->output);

    float largest = 0.f;
    for (const float weight_scale : layer.codes->weight_scale) {
      layer.scale.push_back(layer.input.scale * weight_scale);
      largest = std::max(largest, layer.scale.back());
    }
    const std::int64_t most = std::max(-layer.input.lowest, layer.input.highest);
    for (int out = 0; out < dense.out; ++out) {
      std::int64_t sum = 0;
      for (int in = 0; in < dense.in; ++in) sum += std::abs(layer.weight_at(out, in)) * most;
      layer.bound = std::max(layer.bound, sum + std::abs(std::int64_t{layer.bias_at(out)}));
    }
    layer.common = largest;
    if (layer.scale.size() > 1 && dense.norm == Norm::layer) {
      int shift = 0;
      while (shift < 16 && (layer.bound << (shift + 1)) * dense.out < std::int64_t{1} << 31) ++shift;
      layer.common = std::ldexp(double{largest}, -shift);
      layer.bound <<= shift;
      for (const float scale : layer.scale) layer.ratio.push_back(double{scale} / layer.common);
    }
    layer.floor = dense::spread_floor(dense.out, double{kLayerNormEpsilon}, layer.common);
    all.push_back(std::move(layer));
  }
  return all;
}

}  // namespace quantized_network
}  // namespace starling
