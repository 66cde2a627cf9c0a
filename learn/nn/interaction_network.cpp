#include "learn/nn/interaction_network.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "learn/nn/operators.h"
#include "starling/error.h"
#include "starling/interaction_step.h"

namespace starling::learn {
namespace {

using torch::Tensor;

torch::ScalarType accumulation_type(torch::ScalarType type) {
  return type == torch::kDouble ? torch::kDouble : torch::kFloat;
}

Tensor sum_rows(const Tensor& rows, const Tensor& index, std::int64_t count) {
  const auto type = accumulation_type(rows.scalar_type());
  return torch::zeros({count, rows.size(1)}, rows.options().dtype(type))
      .index_add_(0, index, rows.to(type))
      .to(rows.scalar_type());
}

/// rows[index]; its gradient is summed in float also where rows are bfloat16.
struct Gather : torch::autograd::Function<Gather> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& rows, const Tensor& index) {
    context->save_for_backward({index});
    context->saved_data["count"] = rows.size(0);
    return rows.index_select(0, index);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradient) {
    const Tensor index = context->get_saved_variables()[0];
    return {sum_rows(gradient[0], index, context->saved_data["count"].toInt()), Tensor()};
  }
};

/// out[v] = Σ of the rows whose index is v, summed in float also where rows are bfloat16.
struct Scatter : torch::autograd::Function<Scatter> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& rows, const Tensor& index,
                        std::int64_t count) {
    context->save_for_backward({index});
    return sum_rows(rows, index, count);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradient) {
    const Tensor index = context->get_saved_variables()[0];
    return {gradient[0].index_select(0, index), Tensor(), Tensor()};
  }
};

std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }

Tensor linear(const Tensor& inputs, const Tensor& weight, const Tensor& bias) {
  return bias.defined() ? torch::addmm(bias, inputs, weight.t()) : torch::mm(inputs, weight.t());
}

}  // namespace

bool can_be_fused(const InteractionNetworkShape& shape) {
  return shape.norm != Norm::batch &&
         std::max({shape.hidden, shape.node_inputs, shape.edge_inputs}) <= kMaxTrainedWidth;
}

InteractionNetworkImpl::InteractionNetworkImpl(const InteractionNetworkShape& shape, std::uint64_t seed)
    : shape_(shape), layers_(starling::layers(shape)) {
  weights_ = register_module("weights", FlatParameters(initial_values(layers_, seed)));
}

std::size_t InteractionNetworkImpl::first_layer(const std::string& mlp) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i].name == mlp + ".0") return i;
  }
  throw Error(ErrorKind::internal, "the network has no part " + mlp);
}

std::vector<InteractionNetworkImpl::Weights> InteractionNetworkImpl::unpack(torch::ScalarType type) const {
  const std::vector<Tensor> parts = weights_->unpack(type);
  std::vector<Weights> weights(layers_.size());
  std::size_t part = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    weights[i].weight = parts[part++];
    if (layers_[i].bias) weights[i].bias = parts[part++];
    if (layers_[i].norm == Norm::batch) {
      weights[i].norm_weight = parts[part++];
      weights[i].norm_bias = parts[part++];
    }
  }
  return weights;
}

// The rest of an MLP after the products of its first layer, whose number is `layer`.
Tensor InteractionNetworkImpl::finish(Tensor sums, std::size_t layer, const std::vector<Weights>& weights,
                                      torch::ScalarType type) const {
  const std::string mlp = mlp_of(layers_[layer].name);
  while (true) {
    if (layers_[layer].norm == Norm::layer) {
      sums = torch::layer_norm(sums, {sums.size(1)}, {}, {}, kLayerNormEpsilon);
    } else if (layers_[layer].norm == Norm::batch) {
      const Weights& affine = weights[layer];
      sums = torch::batch_norm(sums, affine.norm_weight.to(sums.scalar_type()), affine.norm_bias.to(sums.scalar_type()),
                               {}, {}, /*training=*/true, /*momentum=*/0, kBatchNormEpsilon, /*cudnn_enabled=*/false);
    }
    if (layers_[layer].relu) sums = torch::relu(sums);
    sums = sums.to(type);
    if (layer + 1 == layers_.size() || mlp_of(layers_[layer + 1].name) != mlp) return sums;
    ++layer;
    sums = linear(sums, weights[layer].weight, weights[layer].bias);
  }
}

// Features carry more digits than bfloat16 has: the first layer multiplies them in full precision.
Tensor InteractionNetworkImpl::encode(const std::string& mlp, const Tensor& inputs, const std::vector<Weights>& weights,
                                      torch::ScalarType type) const {
  const std::size_t layer = first_layer(mlp);
  const auto full = accumulation_type(type);
  const Weights& first = weights[layer];
  return finish(linear(inputs.to(full), first.weight.to(full), first.bias.defined() ? first.bias.to(full) : first.bias),
                layer, weights, type);
}

Tensor InteractionNetworkImpl::fused_forward(const GraphTensors& graph, torch::ScalarType type) const {
  const auto full = accumulation_type(type);
  // The parameters of each MLP lie together.
  std::vector<std::string> mlps;
  std::vector<std::size_t> counts;
  for (const DenseLayer& layer : layers_) {
    if (mlps.empty() || mlps.back() != mlp_of(layer.name)) {
      mlps.push_back(mlp_of(layer.name));
      counts.push_back(0);
    }
    counts.back() += arrays(layer).size();
  }
  const std::vector<Tensor> joined = weights_->unpack_joined(full, counts);
  std::map<std::string, Tensor> parameters;
  for (std::size_t i = 0; i < mlps.size(); ++i) parameters[mlps[i]] = joined[i];

  const auto mlp = [&](const char* name, const Tensor& inputs, int outputs, int depth, bool relu,
                       torch::ScalarType to) {
    const MlpShape shape{static_cast<int>(inputs.size(1)), shape_.hidden, outputs, depth, shape_.bias,
                         shape_.norm == Norm::layer,       relu};
    return mlp_rows(inputs, parameters.at(name), shape, to);
  };
  StepInputs step;
  step.x = mlp("node_encoder", graph.nodes.to(full), shape_.hidden, 3, true, type);
  step.e = mlp("edge_encoder", graph.edges.to(full), shape_.hidden, 3, true, type);
  if (shape_.concat) {
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
  step.bias = shape_.bias;
  step.norm = shape_.norm == Norm::layer;
  for (int i = 0; i < shape_.steps; ++i) {
    const std::string number = std::to_string(shape_.recurrent ? 0 : i);
    step.edge_parameters = parameters.at("edge_network." + number);
    // The last node network feeds nothing.
    step.node_parameters = i + 1 < shape_.steps ? parameters.at("node_network." + number) : Tensor();
    std::tie(step.e, step.x) = interaction_step(step);
  }
  const Tensor decoded = mlp("edge_decoder", step.e, shape_.hidden, 3, true, type);
  return mlp("edge_output", decoded, 1, 2, false, full).squeeze(1);
}

Tensor InteractionNetworkImpl::forward(const GraphTensors& graph, torch::ScalarType type, Form form) {
  const std::int64_t nodes = graph.nodes.size(0), hidden = shape_.hidden;
  if (graph.edges.size(0) == 0) return torch::zeros({0}, graph.edges.options());
  if (form == Form::fused) {
    if (can_be_fused(shape_)) return fused_forward(graph, type);
    throw Error(ErrorKind::usage, "interaction network: norm " + to_string(shape_.norm) + ", hidden " +
                                      std::to_string(shape_.hidden) + ": fused operators have no batch " +
                                      "normalisation and widths of at most " + std::to_string(kMaxTrainedWidth));
  }
  const std::vector<Weights> weights = unpack(type);

  const Tensor x0 = encode("node_encoder", graph.nodes, weights, type);
  const Tensor e0 = encode("edge_encoder", graph.edges, weights, type);
  Tensor x = x0, e = e0;
  for (int step = 0; step < shape_.steps; ++step) {
    const std::string number = std::to_string(shape_.recurrent ? 0 : step);
    const std::size_t edge_layer = first_layer("edge_network." + number);
    // Columns of the first layer's weights: [e, e0, x_src, x0_src, x_dst, x0_dst], or [e, x_src, x_dst].
    const std::vector<Tensor> parts = weights[edge_layer].weight.split(shape_.concat ? 2 * hidden : hidden, 1);
    const Tensor states = shape_.concat ? torch::cat({x, x0}, 1) : x;
    Tensor sums;
    if (shape_.concat) {
      const std::vector<Tensor> halves = parts[0].split(hidden, 1);
      sums = linear(e, halves[0], weights[edge_layer].bias).addmm_(e0, halves[1].t());
    } else {
      sums = linear(e, parts[0], weights[edge_layer].bias);
    }
    sums.add_(Gather::apply(torch::mm(states, parts[1].t()), graph.src));
    sums.add_(Gather::apply(torch::mm(states, parts[2].t()), graph.dst));
    e = finish(sums, edge_layer, weights, type);

    if (step + 1 == shape_.steps) break;  // the last node network feeds nothing
    const std::size_t node_layer = first_layer("node_network." + number);
    const Tensor incoming = Scatter::apply(e, graph.dst, nodes), outgoing = Scatter::apply(e, graph.src, nodes);
    const Tensor inputs = torch::cat({incoming, outgoing, states}, 1);
    x = finish(linear(inputs, weights[node_layer].weight, weights[node_layer].bias), node_layer, weights, type);
  }

  const std::size_t decoder = first_layer("edge_decoder"), output = first_layer("edge_output");
  e = finish(linear(e, weights[decoder].weight, weights[decoder].bias), decoder, weights, type);
  e = finish(linear(e, weights[output].weight, weights[output].bias), output, weights, type);
  return e.squeeze(1).to(accumulation_type(type));
}

Tensor edge_loss(const Tensor& logits, const Tensor& labels, const Tensor& weights) {
  const Tensor sum = torch::binary_cross_entropy_with_logits(logits, labels, weights, {}, at::Reduction::Sum);
  return sum / weights.abs().sum().clamp_min(1e-12);
}

}  // namespace starling::learn
