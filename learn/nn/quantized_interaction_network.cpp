#include "learn/nn/quantized_interaction_network.h"

#include <cmath>
#include <tuple>
#include <utility>

#include "learn/nn/ends.h"
#include "learn/nn/operators.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using torch::Tensor;

constexpr const char* kThresholds = "thresholds";

std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }

Tensor linear(const Tensor& inputs, const Tensor& weight, const Tensor& bias) {
  return bias.defined() ? torch::addmm(bias, inputs, weight.t()) : torch::mm(inputs, weight.t());
}

}  // namespace

QuantizedInteractionNetworkImpl::QuantizedInteractionNetworkImpl(const InteractionNetworkShape& shape,
                                                                 const QuantizationSettings& settings,
                                                                 std::uint64_t seed)
    : shape_(shape), settings_(settings), bits_(sites(settings, shape)), layers_(starling::layers(shape)) {
  for (const std::string& mlp : mlps(shape)) {
    const bool features = mlp.ends_with("_encoder");
    inputs_[mlp] = sites_.size();
    sites_.push_back({bits_.inputs.at(mlp).bits, true, features ? settings.feature_percentile : settings.percentile});
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    first_.emplace(mlp_of(layers_[i].name), i);
    sites_.push_back({bits_.layers.at(layers_[i].name).output_bits, false, settings.percentile});
  }
  const auto count = static_cast<std::int64_t>(sites_.size());
  std::vector<FlatParametersImpl::Named> values = initial_values(layers_, seed);
  values.push_back({kThresholds, torch::ones({count})});
  weights_ = register_module("weights", FlatParameters(values));
  ranges_ = register_buffer("ranges", torch::zeros({count}));
  steps_ = register_buffer("steps", torch::zeros({}));
}

// Reads the device once, after the module was made or loaded.
std::int64_t QuantizedInteractionNetworkImpl::steps_done() {
  if (known_steps_ < 0) known_steps_ = std::llround(steps_.item<float>());
  return known_steps_;
}

// The optimiser's weight decay has moved the thresholds meanwhile: they are set, not multiplied.
void QuantizedInteractionNetworkImpl::start_step() {
  const torch::NoGradGuard guard;
  if (steps_done() == settings_.collect_steps) {
    Tensor thresholds = weights_->split(weights_->flat().detach()).at(kThresholds);
    thresholds.copy_(torch::where(ranges_ > 0, ranges_, torch::ones_like(ranges_)));
  }
  if (known_steps_ > settings_.collect_steps) return;
  ++known_steps_;
  steps_ += 1;
}

// One forward pass: parameters rounded once, however often a layer runs.
class QuantizedInteractionNetworkImpl::Pass {
 public:
  Pass(QuantizedInteractionNetworkImpl& network, const GraphTensors& graph, std::map<std::string, Tensor>* codes)
      : net_(network),
        graph_(graph),
        src_(graph.src, graph.nodes.size(0)),
        dst_(graph.dst, graph.nodes.size(0)),
        kept_(codes),
        collects_(network.collects()) {
    const std::vector<Tensor> parts = net_.weights_->unpack(torch::kFloat);
    const bool learned = net_.steps_done() > net_.settings_.collect_steps;
    thresholds_ = (learned ? parts.back() : torch::where(net_.ranges_ > 0, net_.ranges_, 1.f)).unbind();
    std::size_t part = 0;
    for (const DenseLayer& layer : net_.layers_) {
      Weights weights{{parts[part++], {}}, {}, {}, {}};
      if (layer.bias) weights.bias = parts[part++];
      if (layer.norm == Norm::batch) {
        weights.norm_weight = parts[part++];
        weights.norm_bias = parts[part++];
      }
      weights_.push_back(std::move(weights));
    }
  }

  Tensor logits() {
    const InteractionNetworkShape& shape = net_.shape_;
    const Tensor x0 = mlp("node_encoder", graph_.nodes), e0 = mlp("edge_encoder", graph_.edges);
    Tensor x = x0, e = e0;
    for (int step = 0; step < shape.steps; ++step) {
      const std::string number = std::to_string(shape.recurrent ? 0 : step);
      const Tensor states = shape.concat ? torch::cat({x, x0}, 1) : x;
      e = edge_network("edge_network." + number, states,
                       shape.concat ? std::vector<Tensor>{e, e0} : std::vector<Tensor>{e});
      if (step + 1 == shape.steps) break;  // the last node network feeds nothing
      x = mlp("node_network." + number, torch::cat({dst_.sum(e), src_.sum(e), states}, 1));
    }
    return mlp("edge_output", mlp("edge_decoder", e)).squeeze(1);
  }

 private:
  // The threshold of a site for this pass; `all` gives what the site meets, once where thresholds are collected.
  template <class All>
  Tensor threshold(std::size_t site, const All& all) {
    if (!collects_) return thresholds_[site];
    const Tensor own = calibrated_threshold(all(), net_.sites_[site].percentile);
    const torch::NoGradGuard guard;
    const Tensor least = own.detach().clamp_min(1e-10);
    Tensor range = net_.ranges_[static_cast<std::int64_t>(site)];
    range.copy_(torch::where(range > 0, range * 0.9f + least * 0.1f, least));
    return own;
  }

  Codes rounded(const Tensor& values, std::size_t site, const Tensor& threshold) const {
    auto [result, scale] = quantize_activation(values, threshold, net_.sites_[site].bits, net_.sites_[site].is_signed,
                                               net_.settings_.powers_of_two);
    return {std::move(result), std::move(scale)};
  }

  void keep(const std::string& name, const Codes& codes) {
    if (kept_ == nullptr) return;
    (*kept_)[name] = (codes.values.detach() / codes.scale.detach()).round().to(torch::kInt);
  }

  // The weights of a layer, rounded at its first use in this pass.
  const Codes& weight(std::size_t layer) {
    Codes& codes = weights_[layer].weight;
    if (codes.scale.defined()) return codes;
    const LearnedQuantization::Layer& bits = net_.bits_.layers.at(net_.layers_[layer].name);
    std::tie(codes.values, codes.scale) =
        quantize_weight(codes.values, bits.weight_bits, bits.per_channel, net_.settings_.powers_of_two);
    return codes;
  }

  Tensor bias(std::size_t layer, const Tensor& input_scale) {
    if (!weights_[layer].bias.defined()) return {};
    return quantize_bias(weights_[layer].bias, weight(layer).scale * input_scale,
                         net_.bits_.layers.at(net_.layers_[layer].name).bias_bits);
  }

  Tensor dense(const Codes& inputs, std::size_t layer) {
    return linear(inputs.values, weight(layer).values, bias(layer, inputs.scale));
  }

  Tensor mlp(const std::string& name, const Tensor& inputs) {
    const std::size_t site = net_.input_site(name), layer = net_.first_layer(name);
    const Codes codes = rounded(inputs, site, threshold(site, [&] { return inputs; }));
    keep(name + ".in", codes);
    return finish(dense(codes, layer), layer);
  }

  // One scale serves the whole input, so nodes are rounded and multiplied before they are gathered.
  Tensor edge_network(const std::string& name, const Tensor& states, const std::vector<Tensor>& own) {
    const std::size_t site = net_.input_site(name), layer = net_.first_layer(name);
    const auto joined = [&](std::vector<Tensor> parts, const Tensor& of_nodes) {
      parts.push_back(src_.gather(of_nodes));
      parts.push_back(dst_.gather(of_nodes));
      return torch::cat(parts, 1);
    };
    const Tensor limit = threshold(site, [&] { return joined(own, states); });
    const Codes nodes = rounded(states, site, limit);
    std::vector<Tensor> edges;
    for (const Tensor& part : own) edges.push_back(rounded(part, site, limit).values);
    if (kept_ != nullptr) keep(name + ".in", {joined(edges, nodes.values), nodes.scale});

    // Columns of the first layer's weights: [e, e0, x_src, x0_src, x_dst, x0_dst], or [e, x_src, x_dst].
    const std::vector<Tensor> parts = weight(layer).values.split(states.size(1), 1);
    const std::vector<Tensor> of_edges = parts[0].split(net_.shape_.hidden, 1);
    Tensor sums = linear(edges[0], of_edges[0], bias(layer, nodes.scale));
    for (std::size_t i = 1; i < edges.size(); ++i) sums = torch::addmm(sums, edges[i], of_edges[i].t());
    sums = sums + src_.gather(torch::mm(nodes.values, parts[1].t()));
    return finish(sums + dst_.gather(torch::mm(nodes.values, parts[2].t())), layer);
  }

  // The rest of an MLP after the products of its first layer.
  Tensor finish(Tensor sums, std::size_t layer) {
    const std::string name = mlp_of(net_.layers_[layer].name);
    for (;; ++layer) {
      const DenseLayer& shape = net_.layers_[layer];
      if (shape.norm == Norm::layer) {
        sums = torch::layer_norm(sums, {sums.size(1)}, {}, {}, kLayerNormEpsilon);
      } else if (shape.norm == Norm::batch) {
        sums = torch::batch_norm(sums, weights_[layer].norm_weight, weights_[layer].norm_bias, {}, {},
                                 /*training=*/true, /*momentum=*/0, kBatchNormEpsilon, /*cudnn_enabled=*/false);
      }
      if (!shape.relu) return sums;
      const std::size_t site = net_.output_site(layer);
      const Codes codes = rounded(sums, site, threshold(site, [&] { return sums.relu(); }));
      keep(shape.name, codes);
      if (layer + 1 == net_.layers_.size() || mlp_of(net_.layers_[layer + 1].name) != name) return codes.values;
      sums = dense(codes, layer + 1);
    }
  }

  QuantizedInteractionNetworkImpl& net_;
  const GraphTensors& graph_;
  Ends src_, dst_;
  std::map<std::string, Tensor>* kept_;
  bool collects_;
  std::vector<Tensor> thresholds_;
  std::vector<Weights> weights_;
};

Tensor QuantizedInteractionNetworkImpl::forward(const GraphTensors& graph, std::map<std::string, Tensor>* codes) {
  if (graph.edges.size(0) == 0) return torch::zeros({0}, graph.edges.options());
  return Pass(*this, graph, codes).logits();
}

void QuantizedInteractionNetworkImpl::begin_with(const starling::InteractionNetwork& network,
                                                 const LearnedQuantization* learned) {
  if (!(network.shape == shape_)) {
    throw Error(ErrorKind::usage, "quantized interaction network: a network " + to_json(network.shape) +
                                      " to begin with: expected " + to_json(shape_));
  }
  std::map<std::string, std::vector<float>> values = network.weights;
  std::vector<float>& thresholds = values[kThresholds];
  thresholds.assign(sites_.size(), 1.f);
  if (learned != nullptr) {
    for (const auto& [mlp, site] : inputs_) thresholds[site] = learned->inputs.at(mlp).threshold;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      thresholds[output_site(i)] = learned->layers.at(layers_[i].name).threshold;
    }
  }
  weights_->set_values(values);
  const torch::NoGradGuard guard;
  steps_.fill_(learned != nullptr ? settings_.collect_steps + 1 : 0);
  known_steps_ = -1;  // a checkpoint may be loaded before the next step
}

QuantizedNetwork QuantizedInteractionNetworkImpl::quantized() {
  std::map<std::string, std::vector<float>> values = weights_->values();
  std::vector<float> thresholds = values.extract(kThresholds).mapped();
  if (steps_done() <= settings_.collect_steps) {
    const Tensor ranges = ranges_.to(torch::kCPU).contiguous();
    for (std::size_t i = 0; i < thresholds.size(); ++i) {
      const float range = ranges.const_data_ptr<float>()[i];
      thresholds[i] = range > 0 ? range : 1.f;
    }
  }
  LearnedQuantization learned = bits_;
  for (const auto& [mlp, site] : inputs_) learned.inputs.at(mlp).threshold = thresholds[site];
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    LearnedQuantization::Layer& layer = learned.layers.at(layers_[i].name);
    layer.threshold = thresholds[output_site(i)];
    layer.kept = weights_->kept(layers_[i].name + ".weight");
  }
  return quantize({shape_, std::move(values)}, learned);
}

}  // namespace starling::learn
