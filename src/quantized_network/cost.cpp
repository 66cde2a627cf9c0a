#include <algorithm>
#include <cmath>

#include "quantized_network/structure.h"

namespace starling {
namespace {

// Columns [first, first + count) of a layer's matrix, and whether each event runs them per edge or per node.
struct Part {
  int first, count;
  bool per_edge;
};

// How often, per node or per edge, a layer runs: never for the last node network.
int runs_of(const InteractionNetworkShape& shape, const std::string& mlp) {
  const bool node = mlp.starts_with("node_network."), edge = mlp.starts_with("edge_network.");
  if (!node && !edge) return 1;
  if (shape.recurrent) return node ? shape.steps - 1 : shape.steps;
  return node && quantized_network::place_of(mlp) + 1 == shape.steps ? 0 : 1;
}

std::vector<Part> parts_of(const InteractionNetworkShape& shape, const DenseLayer& layer) {
  const std::string mlp = quantized_network::mlp_of(layer.name);
  if (mlp.starts_with("node_")) return {{0, layer.in, false}};
  if (!mlp.starts_with("edge_network.") || quantized_network::place_of(layer.name) > 0) return {{0, layer.in, true}};
  // Projected once per node, then gathered.
  const int each = (shape.concat ? 2 : 1) * shape.hidden;
  return {{0, each, true}, {each, each, false}, {2 * each, each, false}};
}

// Zero(i): whether weight i counts as zero.
template <typename Zero>
void add_work(const InteractionNetworkShape& shape, const DenseLayer& layer, const Zero& zero, LayerCost& cost) {
  const double runs = runs_of(shape, quantized_network::mlp_of(layer.name));
  for (const Part& part : parts_of(shape, layer)) {
    std::int64_t zeros = 0;
    for (int out = 0; out < layer.out; ++out) {
      for (int in = part.first; in < part.first + part.count; ++in) zeros += zero(std::int64_t{out} * layer.in + in);
    }
    const double products = double(layer.out) * part.count, filled = products - double(zeros);
    const double bw = cost.weight_bits, ba = cost.input_bits;
    const double bops = filled * ba * bw + products * (ba + bw + std::log2(double(part.count)));
    (part.per_edge ? cost.macs_per_edge : cost.macs_per_node) += runs * filled;
    (part.per_edge ? cost.bops_per_edge : cost.bops_per_node) += runs * bops;
  }
}

// Bytes of `rows` rows of codes in the type that a file holds them in.
std::int64_t code_bytes(std::int64_t rows, std::int64_t columns, int bits) {
  const int stored = bits > 16 ? 32 : bits > 8 ? 16 : bits > 4 ? 8 : bits > 2 ? 4 : bits > 1 ? 2 : 1;
  return rows * ((columns * stored + 7) / 8);
}

}  // namespace

std::vector<LayerCost> layer_costs(const InteractionNetwork& network) {
  std::vector<LayerCost> all;
  for (const DenseLayer& layer : layers(network.shape)) {
    LayerCost cost;
    cost.name = layer.name;
    cost.parameters = parameter_count(layer);
    cost.bytes = 4 * cost.parameters;
    for (const ArrayShape& array : arrays(layer)) {
      const std::vector<float>& values = network.weights.at(array.name);
      cost.nonzero += std::count_if(values.begin(), values.end(), [](float value) { return value != 0.f; });
    }
    const std::vector<float>& weight = network.weights.at(layer.name + ".weight");
    add_work(
        network.shape, layer, [&](std::int64_t i) { return weight[i] == 0.f; }, cost);
    all.push_back(std::move(cost));
  }
  return all;
}

std::vector<LayerCost> layer_costs(const QuantizedNetwork& network) {
  std::vector<LayerCost> all;
  int output_bits = 0;  // of the layer before
  for (const quantized_network::Layer& layer : quantized_network::arithmetic(network)) {
    const QuantizedLayer& codes = *layer.codes;
    const auto filled = [](const auto& values) {
      return std::count_if(values.begin(), values.end(), [](auto value) { return value != 0; });
    };
    LayerCost cost;
    cost.name = layer.dense.name;
    cost.parameters = parameter_count(layer.dense);
    cost.nonzero = filled(codes.weight) + filled(codes.bias) + filled(codes.norm_weight) + filled(codes.norm_bias);
    cost.weight_bits = codes.weight_bits;
    const bool first = quantized_network::place_of(layer.dense.name) == 0;
    const std::string mlp = quantized_network::mlp_of(layer.dense.name);
    cost.input_bits = first ? network.inputs.at(mlp).bits : output_bits;
    output_bits = codes.output.bits;
    if (codes.kept.empty()) {
      cost.bytes = code_bytes(layer.dense.out, layer.dense.in, codes.weight_bits);
    } else {
      cost.bytes =
          code_bytes(1, filled(codes.kept), codes.weight_bits) + code_bytes(layer.dense.out, layer.dense.in, 1);
    }
    const std::size_t scales = codes.weight_scale.size() + first + layer.dense.relu + 2 * codes.norm_weight.size();
    cost.bytes += code_bytes(1, std::ssize(codes.bias), codes.bias_bits) + 4 * static_cast<std::int64_t>(scales);
    add_work(
        network.shape, layer.dense, [&](std::int64_t i) { return codes.weight[i] == 0; }, cost);
    all.push_back(std::move(cost));
  }
  return all;
}

}  // namespace starling
