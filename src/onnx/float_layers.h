#pragma once

#include "onnx/network.h"

namespace starling::onnx {

/// Weights as they are, values as they are.
class FloatLayers final : public Layers {
 public:
  FloatLayers(Graph& graph, const Weights& weights) : Layers(graph), weights_(weights) {}

  std::string weight(const DenseLayer& layer) override {
    return graph_.array(layer.name + ".weight", {layer.out, layer.in}, weights_.at(layer.name + ".weight"));
  }
  std::string bias(const DenseLayer& layer) override {
    return graph_.array(layer.name + ".bias", {layer.out}, weights_.at(layer.name + ".bias"));
  }
  std::pair<const std::vector<float>&, const std::vector<float>&> affine(const DenseLayer& layer) override {
    return {weights_.at(layer.name + ".norm_weight"), weights_.at(layer.name + ".norm_bias")};
  }
  std::string input(const std::string&, const std::string&, const std::string& value) override { return value; }
  std::string output(const std::string&, const DenseLayer&, const std::string& value) override { return value; }

 private:
  const Weights& weights_;
};

}  // namespace starling::onnx
