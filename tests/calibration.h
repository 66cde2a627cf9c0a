#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "starling/quantized_network.h"

/// Quantisation after training, for tests and benches: thresholds from one run of the float network on a graph. The
/// network loses more by it than by training with quantisation.
namespace starling::calibration {

using Rows = std::vector<std::vector<float>>;  // per row its values

class FloatRun {
 public:
  explicit FloatRun(const InteractionNetwork& network) : network_(network) {
    for (const DenseLayer& layer : layers(network.shape)) layers_[layer.name] = layer;
  }

  /// The largest magnitude that each quantiser of `learned` meets becomes its threshold; of features the largest but
  /// for one percent.
  void calibrate(const GraphView& graph, LearnedQuantization& learned) {
    learned_ = &learned;
    const InteractionNetworkShape& shape = network_.shape;
    const auto features = [](std::span<const float> values, int columns) {
      Rows rows(values.size() / columns);
      for (std::size_t i = 0; i < values.size(); ++i) rows[i / columns].push_back(values[i]);
      return rows;
    };
    const Rows x0 = mlp("node_encoder", features(graph.node_features, shape.node_inputs));
    const Rows e0 = mlp("edge_encoder", features(graph.edge_features, shape.edge_inputs));
    Rows x = x0, e = e0;
    const auto join = [](std::vector<float>& to, const std::vector<float>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    for (int step = 0; step < shape.steps; ++step) {
      const std::string number = std::to_string(shape.recurrent ? 0 : step);
      Rows in(e.size());
      for (std::size_t i = 0; i < e.size(); ++i) {
        for (const std::vector<float>* const part : std::initializer_list<const std::vector<float>*>{
                 &e[i], &e0[i], &x[graph.src[i]], &x0[graph.src[i]], &x[graph.dst[i]], &x0[graph.dst[i]]}) {
          join(in[i], *part);
        }
      }
      e = mlp("edge_network." + number, in);
      if (step + 1 == shape.steps) break;
      Rows nodes(graph.num_nodes, std::vector<float>(2 * shape.hidden));
      for (std::size_t i = 0; i < e.size(); ++i) {
        for (int c = 0; c < shape.hidden; ++c) {
          nodes[graph.dst[i]][c] += e[i][c];
          nodes[graph.src[i]][shape.hidden + c] += e[i][c];
        }
      }
      for (std::int32_t v = 0; v < graph.num_nodes; ++v) {
        join(nodes[v], x[v]);
        join(nodes[v], x0[v]);
      }
      x = mlp("node_network." + number, nodes);
    }
    mlp("edge_output", mlp("edge_decoder", e));
  }

 private:
  // The magnitude that this part of the values does not exceed.
  static float largest(const Rows& rows, double part = 1.) {
    std::vector<float> sizes;
    for (const std::vector<float>& row : rows) {
      for (const float value : row) sizes.push_back(std::abs(value));
    }
    if (sizes.empty()) return 0.f;
    const auto at = sizes.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(sizes.size() - 1));
    std::nth_element(sizes.begin(), at, sizes.end());
    return *at;
  }

  Rows mlp(const std::string& name, Rows rows) {
    // Few features are large, slopes of edges at nearly one radius, and most are small.
    learned_->inputs.at(name).threshold = largest(rows, name.ends_with("_encoder") ? 0.99 : 1.);
    for (int k = 0;; ++k) {
      const auto found = layers_.find(name + "." + std::to_string(k));
      if (found == layers_.end()) return rows;
      const DenseLayer& layer = found->second;
      const std::vector<float>& weight = network_.weights.at(layer.name + ".weight");
      const std::vector<float>& bias = network_.weights.at(layer.name + ".bias");
      for (std::vector<float>& row : rows) {
        std::vector<float> out = bias;
        for (int o = 0; o < layer.out; ++o) {
          for (int i = 0; i < layer.in; ++i) out[o] += weight[std::size_t(o) * layer.in + i] * row[i];
        }
        if (layer.norm == Norm::layer) {
          double mean = 0., squares = 0.;
          for (const float value : out) mean += value / layer.out;
          for (const float value : out) squares += (value - mean) * (value - mean) / layer.out;
          for (float& value : out) value = static_cast<float>((value - mean) / std::sqrt(squares + kLayerNormEpsilon));
        }
        for (float& value : out) value = layer.relu ? std::max(value, 0.f) : value;
        row = std::move(out);
      }
      if (layer.relu) learned_->layers.at(layer.name).threshold = largest(rows);
    }
  }

  const InteractionNetwork& network_;
  std::map<std::string, DenseLayer> layers_;
  LearnedQuantization* learned_ = nullptr;
};

/// A network with layer normalisation, biases and concatenation in codes of so many bits, biases of 32 and what the
/// encoders read of 12: features span orders of magnitude.
inline QuantizedNetwork quantized_after_training(const InteractionNetwork& network, const GraphView& graph, int bits,
                                                 double pruned = 0.) {
  LearnedQuantization learned;
  for (const std::string& mlp : mlps(network.shape)) learned.inputs[mlp].bits = bits;
  for (const char* const encoder : {"node_encoder", "edge_encoder"}) learned.inputs[encoder].bits = 12;
  for (const DenseLayer& layer : layers(network.shape)) {
    LearnedQuantization::Layer& one = learned.layers[layer.name];
    one.weight_bits = one.output_bits = bits;
    one.bias_bits = 32;
    if (pruned == 0.) continue;
    // The smallest weights of each layer.
    const std::vector<float>& weight = network.weights.at(layer.name + ".weight");
    std::vector<float> sizes;
    for (const float value : weight) sizes.push_back(std::abs(value));
    const auto cut = sizes.begin() + static_cast<std::ptrdiff_t>(pruned * static_cast<double>(sizes.size()));
    std::nth_element(sizes.begin(), cut, sizes.end());
    for (const float value : weight) one.kept.push_back(std::abs(value) >= *cut);
  }
  FloatRun(network).calibrate(graph, learned);
  return quantize(network, learned);
}

}  // namespace starling::calibration
