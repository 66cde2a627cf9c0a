#include "interaction_network/pack.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <new>

#include "interaction_network/shape.h"

namespace starling::interaction_network {

class PackedWeights::Packer {
 public:
  Packer(const InteractionNetwork& network, const Kernels& kernels, PackedWeights& packed)
      : network_(network), kernels_(kernels), packed_(packed) {
    for (const DenseLayer& layer : layers(network.shape)) layers_[layer.name] = layer;
  }

  // The part of a layer that multiplies some of its inputs, each given by the first columns of the blocks of `width`
  // columns that multiply it: [e, e0] where e = e0 is {{0, H}}, one input and two blocks to add.
  Linear part(const std::string& name, const std::vector<std::vector<int>>& inputs, int width, bool with_bias) {
    const DenseLayer& layer = layers_.at(name);
    const std::vector<float>& weight = network_.weights.at(name + ".weight");
    std::vector<std::vector<double>> columns;  // of W, one an input value
    for (const std::vector<int>& blocks : inputs) {
      for (int i = 0; i < width; ++i) {
        std::vector<double>& column = columns.emplace_back(layer.out);
        for (int out = 0; out < layer.out; ++out) {
          for (const int block : blocks) column[out] += double{weight[std::size_t(out) * layer.in + block + i]};
        }
      }
    }
    const bool centred = layer.norm == Norm::layer;
    if (centred) std::for_each(columns.begin(), columns.end(), centre);

    Linear linear;
    linear.columns = round_up(layer.out);
    linear.normalised = layer.norm != Norm::none;
    linear.relu = layer.relu;
    linear.weights = pack_matrix(columns, linear.columns);
    if (with_bias && layer.bias) {
      const std::vector<float>& values = network_.weights.at(name + ".bias");
      std::vector<double> bias(values.begin(), values.end());
      if (centred) centre(bias);
      linear.bias = pack_vector(bias, linear.columns);
    }
    if (layer.norm == Norm::batch) {
      const auto vector = [&](const char* suffix) {
        const std::vector<float>& values = network_.weights.at(name + suffix);
        return pack_vector({values.begin(), values.end()}, linear.columns);
      };
      linear.norm_weight = vector(".norm_weight");
      linear.norm_bias = vector(".norm_bias");
    }
    return linear;
  }

  // The layers of `name` from layer `first` on.
  void append(Mlp& mlp, const std::string& name, int first) {
    for (int k = first;; ++k) {
      const std::string layer = name + "." + std::to_string(k);
      if (!layers_.contains(layer)) return;
      mlp.layers.push_back(part(layer, {{0}}, layers_.at(layer).in, true));
    }
  }

  Step step(int index, bool has_encoded) {
    const InteractionNetworkShape& shape = network_.shape;
    const int h = shape.hidden;
    // The blocks of columns that multiply input i of a list whose entries come alone or, with concat, in pairs (state,
    // encoded state): one input of a state, or two, or both blocks added up where state and encoded state are equal.
    const auto state = [&](int at) -> std::vector<std::vector<int>> {
      if (!shape.concat) return {{at * h}};
      if (has_encoded) return {{at * h}, {(at + 1) * h}};
      return {{at * h, (at + 1) * h}};
    };
    const int pair = shape.concat ? 2 : 1;
    const std::string number = std::to_string(shape.recurrent ? 0 : index);
    const std::string edge = "edge_network." + number, node = "node_network." + number;
    Step out;
    out.edge.layers.push_back(part(edge + ".0", state(0), h, false));
    out.by_src = part(edge + ".0", state(pair), h, true);
    out.by_dst = part(edge + ".0", state(2 * pair), h, false);
    append(out.edge, edge, 1);
    if (index + 1 < shape.steps) {
      std::vector<std::vector<int>> inputs = {{0}, {h}};
      for (const std::vector<int>& blocks : state(2)) inputs.push_back(blocks);
      out.node.layers.push_back(part(node + ".0", inputs, h, true));
      append(out.node, node, 1);
    }
    return out;
  }

 private:
  static void centre(std::vector<double>& values) {
    double mean = 0.;
    for (const double value : values) mean += value;
    mean /= double(values.size());
    for (double& value : values) value -= mean;
  }

  int round_up(int columns) const { return (columns + kernels_.width - 1) / kernels_.width * kernels_.width; }

  float* allocate(std::size_t floats) {
    const std::size_t bytes = (floats * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
    float* const memory = static_cast<float*>(std::aligned_alloc(kAlignment, bytes));
    if (memory == nullptr) throw std::bad_alloc();
    packed_.memory_.emplace_back(memory);
    std::memset(memory, 0, bytes);
    return memory;
  }

  const float* pack_vector(const std::vector<double>& values, int columns) {
    float* const out = allocate(columns);
    std::transform(values.begin(), values.end(), out, [](double value) { return static_cast<float>(value); });
    return out;
  }

  const float* pack_matrix(const std::vector<std::vector<double>>& matrix_columns, int columns) {
    float* const packed = allocate(matrix_columns.size() * columns);
    float* out = packed;
    for (int first = 0; first < columns;) {
      const int panel = panel_vectors((columns - first) / kernels_.width, kernels_.panel_vectors) * kernels_.width;
      for (const std::vector<double>& column : matrix_columns) {
        for (int c = first; c < first + panel; ++c, ++out) {
          if (c < int(column.size())) *out = static_cast<float>(column[c]);
        }
      }
      first += panel;
    }
    return packed;
  }

  const InteractionNetwork& network_;
  const Kernels& kernels_;
  PackedWeights& packed_;
  std::map<std::string, DenseLayer> layers_;
};

PackedWeights::PackedWeights(const InteractionNetwork& network, const Kernels& kernels)
    : concat_(network.shape.concat) {
  Packer packer(network, kernels, *this);
  packer.append(node_encoder, "node_encoder", 0);
  packer.append(edge_encoder, "edge_encoder", 0);
  packer.append(edge_decoder, "edge_decoder", 0);
  packer.append(edge_output, "edge_output", 0);
  // A recurrent network has two: the first step, where states and encoded states are equal, and all others.
  const int steps = network.shape.recurrent ? std::min(2, network.shape.steps) : network.shape.steps;
  for (int i = 0; i < steps; ++i) steps_.push_back(packer.step(i, has_encoded(i)));
}

}  // namespace starling::interaction_network
