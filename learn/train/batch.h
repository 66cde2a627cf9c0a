#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace starling::learn {

/// What one step takes: tensors whose order and meaning the task knows.
struct Batch {
  std::vector<torch::Tensor> tensors;

  /// Copied without waiting where the memory is pinned.
  Batch to(torch::Device device) const {
    Batch moved;
    for (const torch::Tensor& tensor : tensors) moved.tensors.push_back(tensor.to(device, /*non_blocking=*/true));
    return moved;
  }
};

/// Values as a tensor of the same type and the given shape, in pinned memory where `pinned`.
template <class Value>
torch::Tensor to_tensor(const std::vector<Value>& values, std::vector<std::int64_t> shape, bool pinned) {
  const auto type = torch::CppTypeToScalarType<Value>::value;
  const torch::Tensor tensor = torch::empty(shape, torch::dtype(type).pinned_memory(pinned));
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<Value>());
  return tensor;
}

}  // namespace starling::learn
