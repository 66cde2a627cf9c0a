#pragma once

#include <ATen/Functions.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>
#include <mutex>
#include <vector>

#include "learn/ops/operands.h"

// What the derivatives of all operators share. They follow the ones that torch generates for its own: a node for
// backward, a tangent on the output for forward mode. torch::autograd::Function is shorter, but torch.func refuses it
// and it has no forward mode.
namespace starling::ops {

using torch::autograd::compute_requires_grad;
using torch::autograd::Node;
using torch::autograd::variable_list;

template <typename Signature>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// `list[place]`, nothing where it is undefined.
inline MaybeTensor maybe(const variable_list& list, std::size_t place) {
  return list[place].defined() ? MaybeTensor(list[place]) : std::nullopt;
}

inline at::Tensor or_zeros(const at::Tensor& values, const at::Tensor& like) {
  return values.defined() ? values : at::zeros_like(like);
}

/// Forward mode: whether there is a tangent, the values without it, and the tangent, 0 where there is none.
inline bool moves(const MaybeTensor& values) { return torch::autograd::isFwGradDefined(values); }
inline at::Tensor primal(const at::Tensor& values) { return values._fw_primal(/*level=*/0); }
inline MaybeTensor primal(const MaybeTensor& values) { return values ? MaybeTensor(primal(*values)) : std::nullopt; }
inline at::Tensor tangent(const at::Tensor& values) { return or_zeros(values._fw_grad(/*level=*/0), values); }
inline MaybeTensor tangent(const MaybeTensor& values) { return values ? MaybeTensor(tangent(*values)) : std::nullopt; }
inline void set_tangent(const at::Tensor& values, const at::Tensor& tangent) {
  values._set_fw_grad(tangent, /*level=*/0, /*is_inplace_op=*/false);
}

/// A node of the backward graph that keeps tensors, some of which may be undefined.
class SavingNode : public Node {
 public:
  void save(const variable_list& tensors) {
    for (const at::Tensor& tensor : tensors) saved_.emplace_back(tensor, /*is_output=*/false);
  }
  void release_variables() override {
    const std::lock_guard lock(mutex_);
    for (auto& tensor : saved_) tensor.reset_data();
  }

 protected:
  /// Throws where backward was called before without retain_graph.
  variable_list saved() {
    const std::lock_guard lock(mutex_);
    variable_list tensors;
    for (const auto& tensor : saved_) tensors.push_back(tensor.unpack());
    return tensors;
  }

 private:
  std::vector<torch::autograd::SavedVariable> saved_;
};

/// The node that gives the gradients of `inputs` from the gradients of the tensors that `set_history` adds.
template <typename Backward>
std::shared_ptr<Node> make_node(const variable_list& inputs, const variable_list& saved) {
  std::shared_ptr<Backward> node(new Backward, torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  node->save(saved);
  return node;
}

/// In the type that values are computed in. Torch's own conversion carries the gradient back.
inline at::Tensor computed(const at::Tensor& values) { return values.to(compute_type(values)); }
inline MaybeTensor computed(const MaybeTensor& values) {
  return values ? MaybeTensor(computed(*values)) : std::nullopt;
}

/// distance2 of the neighbours `index` [N, k], int64, of points among themselves, as a function of the points: a copy
/// that shares memory with the one given.
at::Tensor distances_of(const at::Tensor& points, const at::Tensor& index, const at::Tensor& distance2);

inline at::Tensor value_or_undefined(const MaybeTensor& tensor) { return tensor.value_or(at::Tensor()); }

}  // namespace starling::ops
