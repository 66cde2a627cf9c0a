#include "learn/nn/flat_parameters.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "starling/error.h"

namespace starling::learn {

using torch::Tensor;

FlatParametersImpl::FlatParametersImpl(const std::vector<Named>& tensors) {
  std::vector<Tensor> rows;
  for (const auto& [name, value] : tensors) {
    if (std::find(names_.begin(), names_.end(), name) != names_.end()) {
      throw Error(ErrorKind::internal, "parameters: two tensors are named " + name);
    }
    names_.push_back(name);
    shapes_.push_back(value.sizes().vec());
    sizes_.push_back(value.numel());
    rows.push_back(value.detach().reshape({-1}).to(torch::kFloat));
  }
  flat_ = register_parameter("flat", torch::cat(rows));
}

void FlatParametersImpl::register_masks() { mask_ = register_buffer("mask", torch::ones_like(flat_.detach())); }

std::vector<std::uint8_t> FlatParametersImpl::kept(const std::string& name) const {
  if (!mask_.defined()) return {};
  const Tensor mask = split(mask_).at(name).reshape({-1}).to(torch::kCPU, torch::kByte).contiguous();
  if (mask.all().item<bool>()) return {};
  const std::uint8_t* const from = mask.const_data_ptr<std::uint8_t>();
  return {from, from + mask.numel()};
}

std::vector<Tensor> FlatParametersImpl::unpack(torch::ScalarType type) const { return views(masked().to(type)); }

std::vector<Tensor> FlatParametersImpl::views(const Tensor& flat) const {
  std::vector<Tensor> tensors = flat.split_with_sizes(sizes_);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (shapes_[i].size() != 1) tensors[i] = tensors[i].view(shapes_[i]);
  }
  return tensors;
}

std::vector<Tensor> FlatParametersImpl::unpack_joined(torch::ScalarType type,
                                                      const std::vector<std::size_t>& counts) const {
  std::vector<std::int64_t> joined;
  auto size = sizes_.begin();
  for (const std::size_t count : counts) {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += *size++;
    joined.push_back(total);
  }
  return masked().to(type).split_with_sizes(joined);
}

std::map<std::string, Tensor> FlatParametersImpl::split(const Tensor& flat) const {
  const std::vector<Tensor> parts = flat.split_with_sizes(sizes_);
  std::map<std::string, Tensor> named;
  for (std::size_t i = 0; i < parts.size(); ++i) named[names_[i]] = parts[i].view(shapes_[i]);
  return named;
}

std::map<std::string, std::vector<float>> FlatParametersImpl::values() const {
  const Tensor all = masked().detach().to(torch::kCPU, torch::kFloat).contiguous();
  std::map<std::string, std::vector<float>> named;
  const float* from = all.const_data_ptr<float>();
  for (std::size_t i = 0; i < names_.size(); ++i) {
    named[names_[i]].assign(from, from + sizes_[i]);
    from += sizes_[i];
  }
  return named;
}

void FlatParametersImpl::set_values(const std::map<std::string, std::vector<float>>& values) {
  std::vector<float> all;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const auto found = values.find(names_[i]);
    if (found == values.end()) throw Error(ErrorKind::input, "parameters: no tensor " + names_[i]);
    if (static_cast<std::int64_t>(found->second.size()) != sizes_[i]) {
      throw Error(ErrorKind::input, "parameters: " + names_[i] + " has " + std::to_string(found->second.size()) +
                                        " values, expected " + std::to_string(sizes_[i]));
    }
    all.insert(all.end(), found->second.begin(), found->second.end());
  }
  for (const auto& [name, unused] : values) {
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) {
      throw Error(ErrorKind::input, "parameters: unknown tensor " + name);
    }
  }
  const torch::NoGradGuard guard;
  flat_.copy_(torch::from_blob(all.data(), {static_cast<std::int64_t>(all.size())}));
}

std::vector<FlatParametersImpl::Named> initial_values(const std::vector<DenseLayer>& layers, std::uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::vector<FlatParametersImpl::Named> values;
  for (const DenseLayer& layer : layers) {
    const double bound = 1 / std::sqrt(static_cast<double>(layer.in));
    for (const ArrayShape& array : arrays(layer)) {
      const bool scale = array.name.ends_with(".norm_weight"), shift = array.name.ends_with(".norm_bias");
      values.push_back({array.name, scale   ? torch::ones(array.shape)
                                    : shift ? torch::zeros(array.shape)
                                            : torch::empty(array.shape).uniform_(-bound, bound, generator)});
    }
  }
  return values;
}

}  // namespace starling::learn
