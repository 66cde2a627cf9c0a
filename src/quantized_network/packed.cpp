#include "quantized_network/packed.h"

#include <cmath>
#include <cstdlib>

namespace starling::quantized_network {
namespace {

// What an encoder reads: its quantiser may be finer than those of states, since features span orders of magnitude.
bool reads_features(const Layer& layer) {
  return layer.dense.name == "node_encoder.0" || layer.dense.name == "edge_encoder.0";
}

// Kernels for the codes of states, or of features.
const dense::IntegerKernels& kernels_for(const std::vector<Layer>& layers, bool features, SimdLevel level) {
  bool wide = false, bytes = true;
  std::int64_t most_pair = 0;
  for (const Layer& layer : layers) {
    wide |= layer.bound >= std::int64_t{1} << 31;
    bytes &= features || !layer.dense.relu || layer.output.highest < 256;
    if (reads_features(layer) != features) continue;
    std::int64_t largest = 0;
    for (const std::int16_t code : layer.codes->weight) largest = std::max<std::int64_t>(largest, std::abs(code));
    const std::int64_t codes = std::int64_t{layer.input.highest} - layer.input.lowest;
    most_pair = std::max(most_pair, 2 * largest * codes);
    bytes &= layer.codes->weight_bits <= 8 && codes < 256;
  }
  return dense::integer_kernels(level, bytes ? 1 : 2, most_pair, wide);
}

bool is_bounded(const Layer& layer) {
  const double bound = static_cast<double>(layer.bound), width = layer.dense.out, step = layer.output.scale;
  if (layer.dense.norm == Norm::layer) {
    return bound * width < 0x1p31 && std::sqrt(width) / step < 0x1p30 && layer.floor / (width * width) < 1e30;
  }
  const double scale = *std::max_element(layer.scale.begin(), layer.scale.end());
  // The reciprocals and products that the kernels take are normal numbers.
  return bound * scale / step < 0x1p30 && scale / step > 1e-30 && step > 1e-30;
}

}  // namespace

PackedNetwork::PackedNetwork(const QuantizedNetwork& network, SimdLevel level)
    : PackedNetwork(network, arithmetic(network), level) {}

PackedNetwork::PackedNetwork(const QuantizedNetwork& network, const std::vector<Layer>& layers, SimdLevel level)
    : shape(network.shape),
      kernels(&kernels_for(layers, false, level)),
      feature_kernels(&kernels_for(layers, true, level)),
      packer_(*kernels),
      feature_packer_(*feature_kernels) {
  for (const Layer& layer : layers) layers_[layer.dense.name] = layer;
  node_encoder = pack_mlp("node_encoder", 0);
  edge_encoder = pack_mlp("edge_encoder", 0);
  edge_decoder = pack_mlp("edge_decoder", 0);
  edge_output = pack_mlp("edge_output", 0);
  node_features = layers_.at("node_encoder.0").input;
  edge_features = layers_.at("edge_encoder.0").input;
  // A recurrent network has two: the first step, whose states are the encoders', and all others.
  const int steps = shape.recurrent ? std::min(2, shape.steps) : shape.steps;
  for (int i = 0; i < steps; ++i) steps_.push_back(pack_step(i));
  const std::string last = "edge_network." + std::to_string(shape.recurrent ? 0 : shape.steps - 1) + ".2";
  decoder_of_e = requantizer(layers_.at(last).output, layers_.at("edge_decoder.0").input);
  output_of_decoded = requantizer(layers_.at("edge_decoder.2").output, layers_.at("edge_output.0").input);
  layers_.clear();
}

PackedLayer PackedNetwork::pack(const Layer& layer, const std::vector<int>& inputs, int width, bool with_bias) {
  PackedLayer packed;
  const dense::CodeMatrix matrix{.weight = layer.codes->weight.data(),
                                 .out = layer.dense.out,
                                 .in = layer.dense.in,
                                 .bias = layer.codes->bias.empty() ? nullptr : layer.codes->bias.data(),
                                 .lowest = layer.input.lowest,
                                 .highest = layer.input.highest};
  packed.product = (reads_features(layer) ? feature_packer_ : packer_).pack(matrix, inputs, width, with_bias);
  packed.width = layer.dense.out;
  packed.norm = layer.dense.norm;
  packed.relu = layer.dense.relu;
  const int columns = packed.product.columns;
  if (!layer.dense.relu) {
    packed.scale = layer.scale_of(0);
    return packed;
  }
  for (int out = 0; out < layer.dense.out; ++out) packed.scales.push_back(layer.scale_of(out));
  dense::IntegerQuantize& quantize = packed.quantize;
  quantize.columns = columns;
  quantize.width = layer.dense.out;
  quantize.normalise = layer.dense.norm == Norm::layer;
  quantize.floor = layer.floor;
  quantize.ratio = layer.ratio.empty() ? nullptr : packer_.copy(layer.ratio, columns);
  quantize.scale = packer_.copy(packed.scales, columns);
  quantize.grid = layer.output;
  quantize.bounded = is_bounded(layer);
  quantize.stride = dense::padded_codes(layer.dense.out);
  if (layer.dense.norm == Norm::batch) {
    packed.norm_weight = packer_.copy(layer.codes->norm_weight, columns);
    packed.norm_bias = packer_.copy(layer.codes->norm_bias, columns);
  }
  return packed;
}

Mlp PackedNetwork::pack_mlp(const std::string& name, int first) {
  Mlp mlp;
  for (int k = first;; ++k) {
    const auto layer = layers_.find(name + "." + std::to_string(k));
    if (layer == layers_.end()) return mlp;
    mlp.push_back(pack(layer->second, {0}, layer->second.dense.in, true));
  }
}

dense::Requantize PackedNetwork::requantizer(const dense::CodeGrid& from, const dense::CodeGrid& to) {
  const int highest = to.highest - to.lowest;
  std::vector<std::int32_t> table(std::max(256, from.highest + 1));
  for (int code = 0; code <= from.highest; ++code) {
    table[code] = dense::code_of(dense::value_of(code, from.scale), to) - to.lowest;
  }
  dense::Requantize requantize{.in = nullptr,
                               .out = nullptr,
                               .count = 0,
                               .table = nullptr,
                               .linear = false,
                               .factor = from.scale / to.scale,
                               .offset = -to.lowest,
                               .highest = highest};
  // One product instead of a product and a quotient: rounding may let a code differ, so all are tried.
  const float middle = requantize.factor;
  for (int ulps = 0; ulps <= 16 && !requantize.linear && middle * static_cast<float>(from.highest) < 0x1p30f; ++ulps) {
    float factor = middle;
    for (int i = 0; i < (ulps + 1) / 2; ++i) factor = std::nextafter(factor, ulps % 2 == 0 ? 0.f : INFINITY);
    requantize.factor = factor;
    requantize.linear = true;
    for (int code = 0; code <= from.highest && requantize.linear; ++code) {
      const double rounded = std::nearbyint(static_cast<float>(code) * factor);
      requantize.linear = std::min(rounded + requantize.offset, double(highest)) == table[code];
    }
  }
  const auto columns = static_cast<int>(table.size());
  requantize.table =
      kernels->code_bytes == 1
          ? static_cast<const void*>(packer_.copy(std::vector<std::uint8_t>(table.begin(), table.end()), columns))
          : packer_.copy(std::vector<std::uint16_t>(table.begin(), table.end()), columns);
  return requantize;
}

Step PackedNetwork::pack_step(int index) {
  const int h = shape.hidden;
  const std::string number = std::to_string(shape.recurrent ? 0 : index);
  const std::string before = std::to_string(shape.recurrent ? 0 : index - 1);
  const std::string edge = "edge_network." + number, node = "node_network." + number;
  const Layer& first = layers_.at(edge + ".0");
  // The columns of state number `at`: alone or, with concat, with its encoded state behind it.
  const auto state = [&](int at) {
    return shape.concat ? std::vector<int>{2 * at * h, (2 * at + 1) * h} : std::vector<int>{at * h};
  };
  Step step;
  step.edge.push_back(pack(first, state(0), h, false));
  for (PackedLayer& layer : pack_mlp(edge, 1)) step.edge.push_back(std::move(layer));
  step.by_src = pack(first, state(1), h, true).product;
  step.by_dst = pack(first, state(2), h, false).product;

  const dense::CodeGrid e0 = layers_.at("edge_encoder.2").output, x0 = layers_.at("node_encoder.2").output;
  const dense::CodeGrid e = index == 0 ? e0 : layers_.at("edge_network." + before + ".2").output;
  const dense::CodeGrid x = index == 0 ? x0 : layers_.at("node_network." + before + ".2").output;
  step.edge_of_e = requantizer(e, first.input);
  step.edge_of_e0 = requantizer(e0, first.input);
  step.edge_of_x = requantizer(x, first.input);
  step.edge_of_x0 = requantizer(x0, first.input);
  if (index + 1 == shape.steps) return step;
  const Layer& node_first = layers_.at(node + ".0");
  std::vector<int> inputs = {0, h, 2 * h};
  if (shape.concat) inputs.push_back(3 * h);
  step.node.push_back(pack(node_first, inputs, h, true));
  for (PackedLayer& layer : pack_mlp(node, 1)) step.node.push_back(std::move(layer));
  step.node_of_x = requantizer(x, node_first.input);
  step.node_of_x0 = requantizer(x0, node_first.input);
  const dense::CodeGrid message = layers_.at(edge + ".2").output;
  step.node_of_messages.scale = message.scale;
  step.node_of_messages.grid = node_first.input;
  highest_message = std::max(highest_message, message.highest);
  return step;
}

}  // namespace starling::quantized_network
