#include "learn/tasks/tracking/network.h"

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "learn/nn/operators.h"
#include "starling/error.h"

namespace starling::learn::tracking {

EdgeNetwork::EdgeNetwork(const InteractionNetworkShape& shape, const std::optional<QuantizationSettings>& quantization,
                         std::uint64_t seed, bool masked)
    : shape_(shape) {
  if (quantization) {
    quantized_ = QuantizedInteractionNetwork(shape, *quantization, seed);
  } else {
    float_ = learn::InteractionNetwork(shape, seed);
  }
  if (masked) weights()->register_masks();
}

std::optional<QuantizationSettings> bits_of(const Start& start) {
  if (!start.learned) return std::nullopt;
  QuantizationSettings settings;
  settings.powers_of_two = start.learned->powers_of_two;
  for (const auto& [name, layer] : start.learned->layers) {
    settings.layers.push_back({name, layer.weight_bits, layer.bias_bits, {}, {}});
    if (name != "edge_output.1") settings.layers.back().activations = layer.output_bits;
    settings.per_channel |= layer.per_channel;
  }
  for (const auto& [name, input] : start.learned->inputs) settings.layers.push_back({name, {}, {}, {}, input.bits});
  return settings;
}

EdgeNetwork::EdgeNetwork(const Start& start) : EdgeNetwork(start.network.shape, bits_of(start), 1) {
  begin_with(start);
  module().eval();
  weights()->flat().requires_grad_(false);
}

void EdgeNetwork::begin_with(const Start& start) {
  if (quantized_) {
    quantized_->begin_with(start.network, start.learned ? &*start.learned : nullptr);
  } else {
    float_->weights()->set_values(start.network.weights);
  }
}

torch::nn::Module& EdgeNetwork::module() {
  return quantized_ ? static_cast<torch::nn::Module&>(*quantized_) : static_cast<torch::nn::Module&>(*float_);
}

FlatParameters& EdgeNetwork::weights() { return quantized_ ? quantized_->weights() : float_->weights(); }

void EdgeNetwork::start_step() {
  if (quantized_) quantized_->start_step();
}

torch::Tensor EdgeNetwork::logits(const GraphTensors& graph, torch::ScalarType type) {
  return quantized_ ? quantized_->forward(graph) : float_->forward(graph, type);
}

std::variant<starling::InteractionNetwork, QuantizedNetwork> EdgeNetwork::network() {
  if (quantized_) return quantized_->quantized();
  return starling::InteractionNetwork{shape_, float_->weights()->values()};
}

void prune(EdgeNetwork& network, const InteractionNetworkShape& shape, const PruningSettings& settings,
           const Start* start) {
  const torch::NoGradGuard guard;
  const std::vector<DenseLayer> all = layers(shape);
  const std::string never_runs = shape.recurrent ? "" : "node_network." + std::to_string(shape.steps - 1) + '.';
  auto values = network.weights()->split(network.weights()->flat().detach().cpu());
  auto masks_of = network.weights()->split(network.weights()->mask());

  std::vector<torch::Tensor> weights, masks;
  std::vector<double> floors;
  std::int64_t total = 0, remaining = 0;
  for (const DenseLayer& layer : all) {
    const torch::Tensor& weight = values.at(layer.name + ".weight");
    const bool runs = shape.recurrent || !layer.name.starts_with(never_runs);
    weights.push_back(runs ? weight : torch::zeros_like(weight));
    masks.push_back(torch::ones_like(weight, torch::kBool));
    if (start != nullptr && start->kept.contains(layer.name)) {
      const std::vector<std::uint8_t>& kept = start->kept.at(layer.name);
      for (std::int64_t i = 0; i < weight.numel(); ++i) {
        masks.back().data_ptr<bool>()[i] = kept[static_cast<std::size_t>(i)] != 0;
      }
    }
    floors.push_back(floor_of(settings, layer.name));
    total += weight.numel();
  }
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (settings.two_of_four) masks[i] = prune_2_of_4(weights[i], masks[i]);
    remaining += masks[i].sum().item<std::int64_t>();
  }
  const auto wanted = static_cast<std::int64_t>(std::nearbyint(settings.kept * static_cast<double>(total)));
  if (settings.kept < 1 && wanted > remaining) {
    throw Error(ErrorKind::usage, "pruning.kept = " + std::to_string(settings.kept) + ": expected at most the " +
                                      std::to_string(remaining) + " of " + std::to_string(total) + " weights that " +
                                      (settings.two_of_four ? "2:4 masks leave" : "the run begins with"));
  }
  if (wanted < remaining) {
    const double amount = static_cast<double>(remaining - wanted) / static_cast<double>(remaining);
    masks = prune_smallest(weights, masks, amount, floors, settings.block);
  }
  for (std::size_t i = 0; i < all.size(); ++i) masks_of.at(all[i].name + ".weight").copy_(masks[i]);
}

}  // namespace starling::learn::tracking
