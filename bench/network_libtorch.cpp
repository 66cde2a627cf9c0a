// The interaction network as one writes it with LibTorch: layer by layer, gathering and concatenating. Decoded once and
// without the last node network, as the runtime does it.

#include <ATen/Parallel.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <map>

#include "network.h"

namespace {

using Weights = std::map<std::string, torch::Tensor>;

torch::Tensor mlp(const Weights& weights, const std::vector<starling::DenseLayer>& layers, const std::string& name,
                  torch::Tensor x) {
  for (const starling::DenseLayer& layer : layers) {
    if (!layer.name.starts_with(name + ".")) continue;
    x = torch::linear(x, weights.at(layer.name + ".weight"), weights.at(layer.name + ".bias"));
    if (layer.norm == starling::Norm::layer)
      x = torch::layer_norm(x, {layer.out}, {}, {}, double{starling::kLayerNormEpsilon});
    if (layer.relu) x = torch::relu(x);
  }
  return x;
}

}  // namespace

Peer run_libtorch(const starling::InteractionNetwork& network, const BenchGraph& graph, int threads) {
  const torch::InferenceMode guard;
  at::set_num_threads(threads);
  const std::vector<starling::DenseLayer> layers = starling::layers(network.shape);
  Weights weights;
  for (const starling::DenseLayer& layer : layers) {
    weights[layer.name + ".weight"] =
        torch::tensor(network.weights.at(layer.name + ".weight")).view({layer.out, layer.in});
    weights[layer.name + ".bias"] = torch::tensor(network.weights.at(layer.name + ".bias"));
  }
  const auto features = [](const std::vector<float>& values, std::int64_t rows) {
    return torch::from_blob(const_cast<float*>(values.data()), {rows, std::ssize(values) / rows}).clone();
  };
  const auto index = [](const std::vector<std::int32_t>& values) {
    return torch::from_blob(const_cast<std::int32_t*>(values.data()), {std::ssize(values)}, torch::kInt32)
        .to(torch::kInt64);
  };
  const torch::Tensor nodes = features(graph.node_features, graph.num_nodes);
  const torch::Tensor edges = features(graph.edge_features, std::ssize(graph.src));
  const torch::Tensor src = index(graph.src), dst = index(graph.dst);

  torch::Tensor logits;
  const auto forward = [&] {
    torch::Tensor x = mlp(weights, layers, "node_encoder", nodes), e = mlp(weights, layers, "edge_encoder", edges);
    const torch::Tensor x0 = x, e0 = e;
    for (int step = 0; step < network.shape.steps; ++step) {
      const std::string number = std::to_string(step);
      e = mlp(weights, layers, "edge_network." + number,
              torch::cat({e, e0, x.index_select(0, src), x0.index_select(0, src), x.index_select(0, dst),
                          x0.index_select(0, dst)},
                         1));
      if (step + 1 == network.shape.steps) break;
      const torch::Tensor in = torch::zeros_like(x).index_add_(0, dst, e);
      const torch::Tensor out = torch::zeros_like(x).index_add_(0, src, e);
      x = mlp(weights, layers, "node_network." + number, torch::cat({in, out, x, x0}, 1));
    }
    logits = mlp(weights, layers, "edge_output", mlp(weights, layers, "edge_decoder", e)).squeeze(1);
  };
  Peer peer;
  peer.times = best_times(2, forward);
  peer.logits.assign(logits.data_ptr<float>(), logits.data_ptr<float>() + logits.numel());
  return peer;
}

std::string libtorch_version() { return "LibTorch " TORCH_VERSION; }
