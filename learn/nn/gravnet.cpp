#include "learn/nn/gravnet.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "learn/nn/operators.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using torch::Tensor;

constexpr double kEpsilon = 1e-5;  // of batch normalisation

Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return bias.defined() ? torch::addmm(bias, x, weight.t()) : torch::mm(x, weight.t());
}

}  // namespace

GravNetImpl::GravNetImpl(const GravNetShape& shape, std::uint64_t seed, bool batch_norm)
    : shape_(shape), layers_(starling::layers(shape)) {
  std::int64_t normalised = 0;
  for (DenseLayer& layer : layers_) {
    if (!batch_norm || !layer.relu) continue;
    layer.norm = Norm::batch;
    normalised += layer.out;
  }
  weights_ = register_module("weights", FlatParameters(initial_values(layers_, seed)));
  if (normalised > 0) {
    means_ = register_buffer("means", torch::zeros({normalised}));
    variances_ = register_buffer("variances", torch::ones({normalised}));
    batches_ = register_buffer("batches", torch::zeros({1}));
  }
}

void GravNetImpl::start_from(const std::vector<Coordinate>& coordinates) {
  const auto count = static_cast<std::int64_t>(coordinates.size());
  if (count > std::min(shape_.space, shape_.propagate) || 2 * count > std::min(shape_.width, shape_.hidden)) {
    throw Error(ErrorKind::usage, "a network starts from " + std::to_string(count) +
                                      " features: expected no more than space, propagate and half of width and hidden");
  }
  for (const Coordinate& coordinate : coordinates) {
    if (coordinate.feature < 0 || coordinate.feature >= shape_.inputs) {
      throw Error(ErrorKind::usage, "a network starts from feature " + std::to_string(coordinate.feature) +
                                        ": expected 0.." + std::to_string(shape_.inputs - 1));
    }
  }
  // Where a normalisation follows, a large weight does the same as a small one and is slower to change.
  constexpr float kCarry = 8;
  const torch::NoGradGuard guard;
  std::map<std::string, Tensor> values = weights_->split(weights_->flat());
  for (const DenseLayer& layer : layers_) {
    if (layer.name == "fc3" || layer.name == "fc4") break;
    const auto is = [&](const char* end) { return layer.name.ends_with(end); };
    const bool single = is(".lin_s") || is(".lin_h");  // one channel per feature, not two
    Tensor weight = values.at(layer.name + ".weight");
    weight.narrow(0, 0, single ? count : 2 * count).zero_();
    if (layer.bias) values.at(layer.name + ".bias").narrow(0, 0, single ? count : 2 * count).zero_();
    if (is(".lin_out2")) continue;
    // What lin_out1 gives has not passed a ReLU: v and −v are both whole there, and their difference is twice v.
    const float carry = layer.norm == Norm::batch ? kCarry : is(".lin_out1") ? 0.5f : 1;
    const bool odd = single && (layer.name.at(layer.name.find('.') + 1) - '0') % 2 != 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const Coordinate& coordinate = coordinates[static_cast<std::size_t>(i)];
      if (layer.name == "fc1") {
        weight[2 * i][coordinate.feature] = carry;
        weight[2 * i + 1][coordinate.feature] = -carry;
      } else if (single) {
        const float factor = is(".lin_h") ? kMessageGain : odd ? coordinate.odd : coordinate.even;
        weight[i][2 * i] = factor;
        weight[i][2 * i + 1] = -factor;
      } else {
        for (const int sign : {0, 1}) {
          weight[2 * i + sign][2 * i + sign] = carry;
          weight[2 * i + sign][2 * i + 1 - sign] = -carry;
        }
      }
    }
  }
}

std::vector<GravNetImpl::Layer> GravNetImpl::unpack(torch::ScalarType type) const {
  const std::vector<Tensor> tensors = weights_->unpack(type);
  std::vector<Layer> parts(layers_.size());
  std::size_t next = 0;
  std::int64_t row = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    parts[i].weight = tensors[next++];
    if (layers_[i].bias) parts[i].bias = tensors[next++];
    if (layers_[i].norm != Norm::batch) continue;
    parts[i].norm_weight = tensors[next++];
    parts[i].norm_bias = tensors[next++];
    parts[i].mean = means_.narrow(0, row, layers_[i].out);
    parts[i].variance = variances_.narrow(0, row, layers_[i].out);
    row += layers_[i].out;
  }
  return parts;
}

// A whole layer, in the type of x; its statistics in float at least.
Tensor GravNetImpl::dense(const Tensor& x, std::size_t layer, const std::vector<Layer>& parts) const {
  const Layer& part = parts[layer];
  Tensor sums = product(x, part.weight, part.bias);
  if (layers_[layer].norm == Norm::batch) {
    const auto type = part.mean.scalar_type();
    // Of one row there is no variance.
    sums = torch::batch_norm(sums, part.norm_weight.to(type), part.norm_bias.to(type), part.mean, part.variance,
                             is_training() && x.size(0) > 1, momentum_, kEpsilon, /*cudnn_enabled=*/false);
  }
  return layers_[layer].relu ? torch::relu(sums) : sums;
}

// Reads the device once, after the module was made or loaded.
void GravNetImpl::start_step() {
  if (!batches_.defined()) return;
  if (seen_ < 0) seen_ = std::llround(batches_.item<double>());
  momentum_ = std::max(kMomentum, 1. / static_cast<double>(++seen_));
  const torch::NoGradGuard guard;
  batches_ += 1;
}

Tensor GravNetImpl::forward(const Tensor& inputs, const Tensor& row_splits, torch::ScalarType type) {
  const auto full = inputs.scalar_type();
  if (inputs.size(0) == 0) return torch::zeros({0, shape_.outputs}, inputs.options());
  if (full == torch::kDouble) type = full;
  const std::vector<Layer> exact = unpack(full), fast = type == full ? exact : unpack(type);

  std::size_t layer = 0;  // the next one, in the order of starling::layers
  Tensor x = dense(inputs, layer++, exact).to(type);
  x = dense(x, layer++, fast);
  std::vector<Tensor> outputs;
  for (int block = 0; block < shape_.blocks; ++block) {
    const Tensor messages = gravnet(dense(x.to(full), layer, exact), dense(x, layer + 1, fast), shape_.k, row_splits,
                                    static_cast<double>(shape_.factor), shape_.subtract);
    x = dense(x, layer + 2, fast) + dense(messages, layer + 3, fast);
    layer += 4;
    for (int i = 0; i < 3; ++i) x = dense(x, layer++, fast);
    outputs.push_back(x);
  }
  x = dense(shape_.concat ? torch::cat(outputs, 1) : x, layer++, fast);
  return dense(x.to(full), layer, exact);
}

starling::GravNet GravNetImpl::folded() const {
  starling::GravNet network{shape_, {}};
  std::map<std::string, std::vector<float>> values = weights_->values();
  const auto on_host = [](const Tensor& buffer) {
    return buffer.defined() ? buffer.to(torch::kCPU, torch::kDouble).contiguous() : buffer;
  };
  const Tensor means = on_host(means_), variances = on_host(variances_);
  std::int64_t row = 0;
  for (const DenseLayer& layer : layers_) {
    std::vector<float>& weight = values.at(layer.name + ".weight");
    if (layer.norm == Norm::batch) {
      std::vector<float>& bias = values.at(layer.name + ".bias");
      const std::vector<float>&norm_weight = values.at(layer.name + ".norm_weight"),
            &norm_bias = values.at(layer.name + ".norm_bias");
      const auto columns = static_cast<std::size_t>(layer.in);
      for (std::size_t o = 0; o < bias.size(); ++o, ++row) {
        const double mean = means.const_data_ptr<double>()[row], variance = variances.const_data_ptr<double>()[row];
        const double scale = norm_weight[o] / std::sqrt(variance + kEpsilon);
        bias[o] = static_cast<float>((bias[o] - mean) * scale + norm_bias[o]);
        std::for_each_n(weight.begin() + static_cast<std::ptrdiff_t>(o * columns), columns,
                        [scale](float& w) { w = static_cast<float>(w * scale); });
      }
    }
    network.weights[layer.name + ".weight"] = std::move(weight);
    if (layer.bias) network.weights[layer.name + ".bias"] = std::move(values.at(layer.name + ".bias"));
  }
  return network;
}

}  // namespace starling::learn
