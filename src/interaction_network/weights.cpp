#include "interaction_network/weights.h"

#include <map>
#include <string>

namespace starling::interaction_network {

PackedWeights::PackedWeights(const InteractionNetwork& network, const dense::FloatKernels& kernels)
    : packer_(kernels), concat_(network.shape.concat) {
  const InteractionNetworkShape& shape = network.shape;
  std::map<std::string, DenseLayer> layers;
  for (const DenseLayer& layer : starling::layers(shape)) {
    layers[layer.name] = layer;
    most_columns_ = std::max(most_columns_, dense::padded(layer.out, kernels));
  }

  // The layers of `name` from layer `first` on.
  const auto append = [&](dense::Mlp& mlp, const std::string& name, int first) {
    for (int k = first;; ++k) {
      const auto layer = layers.find(name + "." + std::to_string(k));
      if (layer == layers.end()) return;
      mlp.push_back(packer_.pack(layer->second, network.weights));
    }
  };
  append(node_encoder, "node_encoder", 0);
  append(edge_encoder, "edge_encoder", 0);
  append(edge_decoder, "edge_decoder", 0);
  append(edge_output, "edge_output", 0);

  const auto step = [&](int index) {
    const int h = shape.hidden;
    // The blocks of columns that multiply input i of a list whose entries come alone or, with concat, in pairs (state,
    // encoded state): one input of a state, or two, or both blocks added up where state and encoded state are equal.
    const auto state = [&](int at) -> std::vector<std::vector<int>> {
      if (!concat_) return {{at * h}};
      if (has_encoded(index)) return {{at * h}, {(at + 1) * h}};
      return {{at * h, (at + 1) * h}};
    };
    const auto part = [&](const std::string& name, const std::vector<std::vector<int>>& inputs, bool with_bias) {
      return packer_.pack_part(layers.at(name), network.weights, inputs, h, with_bias);
    };
    const int pair = concat_ ? 2 : 1;
    const std::string number = std::to_string(shape.recurrent ? 0 : index);
    const std::string edge = "edge_network." + number, node = "node_network." + number;
    Step out;
    out.edge.push_back(part(edge + ".0", state(0), false));
    out.by_src = part(edge + ".0", state(pair), true);
    out.by_dst = part(edge + ".0", state(2 * pair), false);
    append(out.edge, edge, 1);
    if (index + 1 < shape.steps) {
      std::vector<std::vector<int>> inputs = {{0}, {h}};
      for (const std::vector<int>& blocks : state(2)) inputs.push_back(blocks);
      out.node.push_back(part(node + ".0", inputs, true));
      append(out.node, node, 1);
    }
    return out;
  };
  // A recurrent network has two: the first step, where states and encoded states are equal, and all others.
  const int steps = shape.recurrent ? std::min(2, shape.steps) : shape.steps;
  for (int i = 0; i < steps; ++i) steps_.push_back(step(i));
}

}  // namespace starling::interaction_network
