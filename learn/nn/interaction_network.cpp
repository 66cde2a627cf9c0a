#include "learn/nn/interaction_network.h"

#include "learn/nn/fused_network.h"
#include "learn/nn/operators.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using torch::Tensor;

torch::ScalarType accumulation_type(torch::ScalarType type) {
  return type == torch::kDouble ? torch::kDouble : torch::kFloat;
}

std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }

Tensor linear(const Tensor& inputs, const Tensor& weight, const Tensor& bias) {
  return bias.defined() ? torch::addmm(bias, inputs, weight.t()) : torch::mm(inputs, weight.t());
}

}  // namespace

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

Tensor InteractionNetworkImpl::forward(const GraphTensors& graph, torch::ScalarType type) {
  if (graph.edges.size(0) == 0) return torch::zeros({0}, graph.edges.options());
  if (graph.nodes.is_cuda() && type != torch::kDouble && can_be_fused(shape_))
    return fused_logits(shape_, layers_, *weights_, graph, type);
  const std::int64_t nodes = graph.nodes.size(0), hidden = shape_.hidden;
  const Tensor src = graph.src.to(torch::kLong), dst = graph.dst.to(torch::kLong);
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
    sums.add_(gather_rows(torch::mm(states, parts[1].t()), src));
    sums.add_(gather_rows(torch::mm(states, parts[2].t()), dst));
    e = finish(sums, edge_layer, weights, type);

    if (step + 1 == shape_.steps) break;  // the last node network feeds nothing
    const std::size_t node_layer = first_layer("node_network." + number);
    const Tensor inputs = torch::cat({sum_rows(e, dst, nodes), sum_rows(e, src, nodes), states}, 1);
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
