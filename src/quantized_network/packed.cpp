#include "quantized_network/packed.h"

#include <cmath>
#include <optional>
#include <span>

#include "quantized_network/factor.h"

namespace starling::quantized_network {
namespace {

// Kernels for the codes of states, or of features.
const dense::IntegerKernels& kernels_for(const std::vector<Layer>& layers, bool features,
                                         const dense::IntegerSet& set) {
  bool wide = false, bytes = true;
  for (const Layer& layer : layers) {
    wide |= layer.bound >= std::int64_t{1} << 31;
    bytes &= features || !layer.dense.relu || layer.output.highest < 256;
    if (layer.reads_features() != features) continue;
    const dense::CodeGrid input = layer.reachable();
    bytes &= layer.codes->weight_bits <= 8 && input.highest - input.lowest < 256;
  }
  return wide ? *set.wide16 : bytes ? *set.of8 : *set.of16;
}

// Codes as min(rint(code · factor), highest).
std::optional<float> linear_factor(std::span<const std::int32_t> codes, const dense::CodeGrid& from,
                                   const dense::CodeGrid& to) {
  const float middle = from.scale / to.scale;
  if (middle * static_cast<float>(codes.size()) >= 0x1p30f) return std::nullopt;
  return one_factor(codes, middle, [&](float code, float factor) {
    return std::min(std::nearbyint(double{code * factor}), double(to.highest));
  });
}

}  // namespace

PackedNetwork::PackedNetwork(const QuantizedNetwork& network, const dense::IntegerSet& set)
    : PackedNetwork(network, arithmetic(network), set) {}

PackedNetwork::PackedNetwork(const QuantizedNetwork& network, const std::vector<Layer>& layers,
                             const dense::IntegerSet& set)
    : shape(network.shape),
      kernels(&kernels_for(layers, false, set)),
      feature_kernels(&kernels_for(layers, true, set)),
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
                                 .lowest = layer.reachable().lowest,
                                 .highest = layer.input.highest};
  packed.product = (layer.reads_features() ? feature_packer_ : packer_).pack(matrix, inputs, width, with_bias);
  packed.width = layer.dense.out;
  packed.norm = layer.dense.norm;
  packed.relu = layer.dense.relu;
  const int columns = packed.product.weights.columns;
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
  std::vector<float> low, high;
  for (const float scale : packed.scales) {
    constexpr float kRoundings = 0x1p-20f;  // more than twice what those here, of a kernel and of the definition can do
    low.push_back(scale / layer.output.scale * (1.f - kRoundings));
    high.push_back(scale / layer.output.scale * (1.f + kRoundings));
  }
  quantize.low = packer_.copy(low, columns);
  quantize.high = packer_.copy(high, columns);
  quantize.grid = layer.output;
  quantize.bounded = layer.bounded();
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
  std::vector<std::int32_t> table(std::max(256, from.highest + 1));
  for (int code = 0; code <= from.highest; ++code) table[code] = dense::code_of(dense::value_of(code, from.scale), to);
  const std::optional<float> factor = linear_factor({table.data(), std::size_t(from.highest) + 1}, from, to);
  const void* const packed =
      kernels->code_bytes == 1
          ? static_cast<const void*>(packer_.copy(std::vector<std::uint8_t>(table.begin(), table.end()), table.size()))
          : packer_.copy(std::vector<std::uint16_t>(table.begin(), table.end()), table.size());
  return {.in = nullptr,
          .out = nullptr,
          .columns = dense::padded_codes(shape.hidden),
          .count = 0,
          .table = packed,
          .codes = from.highest + 1,
          .linear = factor.has_value(),
          .factor = factor.value_or(0.f),
          .highest = to.highest};
}

dense::Messages PackedNetwork::reader(const dense::CodeGrid& message, const dense::CodeGrid& to) {
  dense::Messages messages{};
  messages.scale = message.scale;
  messages.grid = to;
  // Sums up to the first that has the highest code, as all larger ones have: unless they are too many to try.
  constexpr int kMostSums = 1 << 15;
  std::vector<std::int32_t> codes;
  while (std::ssize(codes) < kMostSums && (codes.empty() || codes.back() < to.highest)) {
    codes.push_back(dense::code_of(dense::value_of(std::ssize(codes), message.scale), to));
  }
  if (codes.back() < to.highest) return messages;
  const std::optional<float> factor = linear_factor(codes, message, to);
  messages.linear = factor.has_value();
  messages.factor = factor.value_or(0.f);
  return messages;
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
  std::vector<int> all;
  for (int column = 0; column < first.dense.in; column += h) all.push_back(column);
  step.whole = pack(first, all, h, true).product;

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
  step.node_of_messages = reader(message, node_first.input);
  highest_message = std::max(highest_message, message.highest);
  return step;
}

}  // namespace starling::quantized_network
