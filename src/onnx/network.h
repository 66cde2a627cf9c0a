#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "onnx/graph.h"
#include "starling/interaction_network.h"

namespace starling::onnx {

/// What tells a network in float from one in codes: the weights, and what happens to values between layers. Names that
/// it is given and returns are those of values in the graph; `scope` begins the names of the nodes that it adds.
class Layers {
 public:
  explicit Layers(Graph& graph) : graph_(graph) {}
  Layers(const Layers&) = delete;
  virtual ~Layers() = default;

  /// Weights [out, in] and, in a layer that has them, biases [out], as floats; each is made once.
  virtual std::string weight(const DenseLayer& layer) = 0;
  virtual std::string bias(const DenseLayer& layer) = 0;
  /// [out] scale and shift of batch normalisation.
  virtual std::pair<const std::vector<float>&, const std::vector<float>&> affine(const DenseLayer& layer) = 0;
  /// What an MLP reads, and what leaves the ReLU of a layer, as the next layer takes it.
  virtual std::string input(const std::string& scope, const std::string& mlp, const std::string& value) = 0;
  virtual std::string output(const std::string& scope, const DenseLayer& layer, const std::string& value) = 0;

 protected:
  Graph& graph_;
};

/// Adds the whole network, its inputs and its output (starling/onnx.h) to the graph.
void add_network(Graph& graph, const InteractionNetworkShape& shape, Layers& layers);

}  // namespace starling::onnx
