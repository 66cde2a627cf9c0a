#include "learn/nn/quantized_interaction_network.h"

#include <cmath>
#include <tuple>
#include <utility>

#include "learn/nn/operators.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using torch::Tensor;

constexpr const char* kThresholds = "thresholds";

std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }

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
  for (const DenseLayer& layer : layers_) {
    for (const ArrayShape& array : arrays(layer)) {
      const bool is_weight = array.name == layer.name + ".weight";
      outputs_.push_back(is_weight ? layer.out : 0);
      weight_bits_.push_back(is_weight ? bits_.layers.at(layer.name).weight_bits : 0);
    }
  }
  outputs_.push_back(0);  // the thresholds
  weight_bits_.push_back(0);
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
      : net_(network), graph_(graph), kept_(codes), collects_(network.collects()) {
    const auto lists_of = [&](const Tensor& ends) { return edges_of_nodes(ends, graph.nodes.size(0)); };
    const auto [out_begin, out_edge] = lists_of(graph.src);
    const auto [in_begin, in_edge] = lists_of(graph.dst);
    outgoing_ = {graph.src, graph.dst, {out_begin, out_edge, in_begin, in_edge}};
    incoming_ = {graph.dst, graph.src, {in_begin, in_edge, out_begin, out_edge}};

    const bool per_channel = net_.settings_.per_channel;
    const auto [rounded, scales] = quantize_weights(net_.weights_->masked(), net_.weights_->sizes(), net_.outputs_,
                                                    net_.weight_bits_, per_channel, net_.settings_.powers_of_two);
    std::vector<std::int64_t> outputs;
    for (const DenseLayer& layer : net_.layers_) outputs.push_back(layer.out);
    const std::vector<Tensor> scale_of = per_channel ? scales.split_with_sizes(outputs) : scales.unbind();
    const std::vector<Tensor> parts = net_.weights_->views(rounded);
    const bool learned = net_.steps_done() > net_.settings_.collect_steps;
    thresholds_ = (learned ? parts.back() : torch::where(net_.ranges_ > 0, net_.ranges_, 1.f)).unbind();
    std::size_t part = 0;
    for (const DenseLayer& layer : net_.layers_) {
      Weights weights{{parts[part++], scale_of[weights_.size()]}, {}, {}, {}};
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
    const Tensor x0 = mlp("node_encoder", {graph_.nodes}), e0 = mlp("edge_encoder", {graph_.edges});
    Tensor x = x0, e = e0;
    for (int step = 0; step < shape.steps; ++step) {
      const std::string number = std::to_string(shape.recurrent ? 0 : step);
      const auto with_first = [&](const Tensor& now, const Tensor& first) {
        return shape.concat ? std::vector<Tensor>{now, first} : std::vector<Tensor>{now};
      };
      std::vector<Tensor> states = with_first(x, x0);
      e = edge_network("edge_network." + number, states, with_first(e, e0));
      if (step + 1 == shape.steps) break;  // the last node network feeds nothing
      states.insert(states.begin(), sum_ends(e, incoming_));
      x = mlp("node_network." + number, states);
    }
    return mlp("edge_output", {mlp("edge_decoder", {e})}).squeeze(1);
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

  void keep(const std::string& name, const Codes& codes) {
    if (kept_ == nullptr) return;
    (*kept_)[name] = (codes.values.detach() / codes.scale.detach()).round().to(torch::kInt);
  }

  // What an MLP reads: arrays side by side.
  Codes read(std::size_t site, const std::vector<Tensor>& parts, const Tensor& threshold) const {
    auto [values, scale] = quantize_parts(parts, threshold, net_.sites_[site].bits, net_.settings_.powers_of_two);
    return {std::move(values), std::move(scale)};
  }

  Tensor mlp(const std::string& name, const std::vector<Tensor>& parts) {
    const std::size_t site = net_.input_site(name), layer = net_.first_layer(name);
    const Codes codes = read(site, parts, threshold(site, [&] { return torch::cat(parts, 1); }));
    keep(name + ".in", codes);
    return finish(torch::mm(codes.values, weights_[layer].weight.values.t()), codes.scale, {}, layer);
  }

  // One scale serves the whole input, so nodes are rounded and multiplied before they are gathered.
  Tensor edge_network(const std::string& name, const std::vector<Tensor>& states, const std::vector<Tensor>& own) {
    const std::size_t site = net_.input_site(name), layer = net_.first_layer(name);
    // The threshold alone has a gradient through this, from one number, which has no order to be added up in.
    const auto joined = [&](std::vector<Tensor> parts, const Tensor& of_nodes) {
      for (const Tensor& end : {graph_.src, graph_.dst})
        parts.push_back(of_nodes.index_select(0, end.to(torch::kLong)));
      return torch::cat(parts, 1);
    };
    const Tensor limit = threshold(site, [&] { return joined(own, torch::cat(states, 1)); });
    const Codes nodes = read(site, states, limit), edges = read(site, own, limit);
    if (kept_ != nullptr) keep(name + ".in", {joined({edges.values}, nodes.values), nodes.scale});

    // Columns of the first layer's weights: [e, e0, x_src, x0_src, x_dst, x0_dst], or [e, x_src, x_dst].
    const std::vector<Tensor> parts = weights_[layer].weight.values.split(edges.values.size(1), 1);
    return finish(torch::mm(edges.values, parts[0].t()), nodes.scale,
                  torch::mm(nodes.values, torch::cat({parts[1], parts[2]}).t()), layer);
  }

  // The sums of a layer with its bias, and with the products of nodes.
  static Tensor completed(const LayerRows& rows) {
    Tensor sums = rows.sums;
    if (rows.bias.defined())
      sums = sums + quantize_bias(rows.bias, rows.weight_scale * rows.input_scale, rows.bias_bits);
    return rows.nodes.defined() ? sums + gather_ends(rows.nodes, rows.ends) : sums;
  }

  // What leaves the ReLU of a layer.
  Codes activated(const LayerRows& rows, std::size_t layer) {
    const DenseLayer& shape = net_.layers_[layer];
    const std::size_t site = net_.output_site(layer);
    const int bits = net_.sites_[site].bits;
    std::pair<Tensor, Tensor> codes;
    if (shape.norm != Norm::batch && !collects_) {
      codes = quantize_rows(rows, thresholds_[site], bits, net_.settings_.powers_of_two);
    } else {
      Tensor sums = completed(rows);
      if (shape.norm == Norm::layer) {
        sums = torch::layer_norm(sums, {sums.size(1)}, {}, {}, kLayerNormEpsilon);
      } else if (shape.norm == Norm::batch) {
        sums = torch::batch_norm(sums, weights_[layer].norm_weight, weights_[layer].norm_bias, {}, {},
                                 /*training=*/true, /*momentum=*/0, kBatchNormEpsilon, /*cudnn_enabled=*/false);
      }
      codes = quantize_activation(sums, threshold(site, [&] { return sums.relu(); }), bits, /*is_signed=*/false,
                                  net_.settings_.powers_of_two);
    }
    return {std::move(codes.first), std::move(codes.second)};
  }

  // The rest of an MLP after the products of its first layer. `nodes`, where they are defined, are gathered to edges.
  Tensor finish(const Tensor& sums, const Tensor& input_scale, const Tensor& nodes, std::size_t layer) {
    const std::string name = mlp_of(net_.layers_[layer].name);
    LayerRows rows;
    rows.sums = sums;
    rows.input_scale = input_scale;
    rows.nodes = nodes;
    rows.ends = outgoing_;
    for (;; ++layer) {
      const DenseLayer& shape = net_.layers_[layer];
      rows.bias = weights_[layer].bias;
      rows.weight_scale = weights_[layer].weight.scale;
      rows.bias_bits = net_.bits_.layers.at(shape.name).bias_bits;
      rows.norm = shape.norm == Norm::layer;
      if (!shape.relu) return completed(rows);
      const Codes codes = activated(rows, layer);
      keep(shape.name, codes);
      if (layer + 1 == net_.layers_.size() || mlp_of(net_.layers_[layer + 1].name) != name) return codes.values;
      rows.sums = torch::mm(codes.values, weights_[layer + 1].weight.values.t());
      rows.input_scale = codes.scale;
      rows.nodes = Tensor();
    }
  }

  QuantizedInteractionNetworkImpl& net_;
  const GraphTensors& graph_;
  Ends outgoing_, incoming_;
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
