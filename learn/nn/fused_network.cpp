#include "learn/nn/fused_network.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "learn/nn/operators.h"
#include "starling/interaction_step.h"

namespace starling::learn {

using torch::Tensor;

bool can_be_fused(const InteractionNetworkShape& shape) {
  return shape.norm != Norm::batch &&
         std::max({shape.hidden, shape.node_inputs, shape.edge_inputs}) <= kMaxTrainedWidth;
}

Tensor fused_logits(const InteractionNetworkShape& shape, const std::vector<DenseLayer>& layers,
                    const FlatParametersImpl& weights, const GraphTensors& graph, torch::ScalarType type) {
  const auto full = type == torch::kDouble ? torch::kDouble : torch::kFloat;
  // The parameters of each MLP lie together.
  std::vector<std::string> mlps;
  std::vector<std::size_t> counts;
  for (const DenseLayer& layer : layers) {
    const std::string mlp = layer.name.substr(0, layer.name.rfind('.'));
    if (mlps.empty() || mlps.back() != mlp) {
      mlps.push_back(mlp);
      counts.push_back(0);
    }
    counts.back() += arrays(layer).size();
  }
  const std::vector<Tensor> joined = weights.unpack_joined(full, counts);
  std::map<std::string, Tensor> parameters;
  for (std::size_t i = 0; i < mlps.size(); ++i) parameters[mlps[i]] = joined[i];

  const auto mlp = [&](const char* name, const Tensor& inputs, int outputs, int depth, bool relu,
                       torch::ScalarType to) {
    const MlpShape mlp_shape{static_cast<int>(inputs.size(1)), shape.hidden, outputs, depth, shape.bias,
                             shape.norm == Norm::layer,        relu};
    return mlp_rows(inputs, parameters.at(name), mlp_shape, to);
  };
  StepInputs step;
  step.x = mlp("node_encoder", graph.nodes.to(full), shape.hidden, 3, true, type);
  step.e = mlp("edge_encoder", graph.edges.to(full), shape.hidden, 3, true, type);
  if (shape.concat) {
    step.x0 = step.x;
    step.e0 = step.e;
  }
  step.src = graph.src;
  step.dst = graph.dst;
  for (const Tensor& ends : {graph.src, graph.dst}) {
    auto [begin, edge] = edges_of_nodes(ends, graph.nodes.size(0));
    step.lists.push_back(std::move(begin));
    step.lists.push_back(std::move(edge));
  }
  step.bias = shape.bias;
  step.norm = shape.norm == Norm::layer;
  for (int i = 0; i < shape.steps; ++i) {
    const std::string number = std::to_string(shape.recurrent ? 0 : i);
    step.edge_parameters = parameters.at("edge_network." + number);
    // The last node network feeds nothing.
    step.node_parameters = i + 1 < shape.steps ? parameters.at("node_network." + number) : Tensor();
    std::tie(step.e, step.x) = interaction_step(step);
  }
  const Tensor decoded = mlp("edge_decoder", step.e, shape.hidden, 3, true, type);
  return mlp("edge_output", decoded, 1, 2, false, full).squeeze(1);
}

}  // namespace starling::learn
