#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <string_view>
#include <utility>

#include "learn/ops/autograd.h"
#include "learn/ops/gravnet_kernels.h"

// First derivatives are one operator, which turns the lists of neighbours round once for all its sums. Where they are
// to be differentiated again they are made of those of starling::aggregate and of the distances.
namespace starling::ops {
namespace {

std::tuple<at::Tensor, at::Tensor> call_gradient(const at::Tensor& space, const at::Tensor& features,
                                                 const at::Tensor& index, const at::Tensor& distance2,
                                                 const at::Tensor& max_slot, const GravNetOptions& options,
                                                 const at::Tensor& out_gradient,
                                                 const MaybeTensor& distance2_gradient) {
  static const auto op = find<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool, bool,
      const at::Tensor&, const MaybeTensor&)>("starling::_gravnet_gradient");
  return op.call(space, features, index, distance2, max_slot, options.factor, options.absent_is_zero, options.subtract,
                 out_gradient, distance2_gradient);
}

std::tuple<at::Tensor, at::Tensor> call_messages_gradient(const at::Tensor& features, const at::Tensor& index,
                                                          const at::Tensor& distance2, const at::Tensor& max_slot,
                                                          const GravNetOptions& options,
                                                          const at::Tensor& out_gradient) {
  static const auto op = find<std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&, double,
      std::string_view, bool, bool, const at::Tensor&, const at::Tensor&)>("starling::_aggregate_gradient");
  return op.call(features, index, std::nullopt, distance2, std::nullopt, options.factor,
                 options.absent_is_zero ? "all" : "found", options.absent_is_zero, options.subtract, out_gradient,
                 max_slot);
}

at::Tensor call_distance_gradient(const at::Tensor& space, const at::Tensor& index, const at::Tensor& weight) {
  static const auto op =
      find<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const MaybeTensor&, const at::Tensor&,
                                              const MaybeTensor&, const at::Tensor&)>("starling::_distance_gradient");
  return std::get<0>(op.call(space, std::nullopt, index, std::nullopt, weight));
}

/// Saved are space, features, index, distance2, max_slot; gradients come of out and distance2 and go to space and
/// features.
struct GravNetBackward : SavingNode {
  GravNetOptions options;
  variable_list apply(variable_list&& gradients) override {
    const at::Tensor &of_out = gradients[0], &of_distance2 = gradients[1];
    if (!of_out.defined() && !of_distance2.defined()) return {{}, {}};
    const variable_list tensors = saved();
    const at::Tensor &space = tensors[0], &features = tensors[1], &index = tensors[2], &distance2 = tensors[3],
                     &max_slot = tensors[4];
    if (!of_out.defined()) return {call_distance_gradient(space, index.to(at::kLong), of_distance2), {}};
    const MaybeTensor more = maybe(gradients, 1);
    if (!at::GradMode::is_enabled()) {
      auto [of_space, of_features] = call_gradient(space, features, index, distance2, max_slot, options, of_out, more);
      return {std::move(of_space), std::move(of_features)};
    }
    const at::Tensor wide_index = index.to(at::kLong), distances = distances_of(space, wide_index, distance2);
    auto [of_features, of_distances] =
        call_messages_gradient(features, wide_index, distances, max_slot, options, of_out);
    if (more) of_distances = of_distances + *more;
    return {call_distance_gradient(space, wide_index, of_distances), std::move(of_features)};
  }
};

GravNetTensors differentiable_gravnet(const at::Tensor& space, const at::Tensor& features, c10::SymInt k,
                                      const MaybeTensor& row_splits, double factor, bool loop, bool absent_is_zero,
                                      bool subtract) {
  const char* const name = "starling::gravnet";
  static const auto op = find<GravNetTensors(const at::Tensor&, const at::Tensor&, c10::SymInt, const MaybeTensor&,
                                             double, bool, bool, bool)>(name);
  check(name, {space, row_splits, {}, {}, {}, loop});
  check_k(name, k);
  check_computed_alike(name, "features", features, "space", space);
  const at::Tensor s = computed(space);
  at::Tensor out, index, distance2, max_slot, kept;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(out, index, distance2, max_slot) =
        op.call(s, features, k, row_splits, factor, loop, absent_is_zero, subtract);
    kept = distance2.detach();  // distance2 itself will hold the node
  }
  if (compute_requires_grad(s, features)) {
    const auto node = make_node<GravNetBackward>({s, features}, {s, features, index, kept, max_slot});
    static_cast<GravNetBackward&>(*node).options = {factor, absent_is_zero, subtract};
    set_history(out, node);
    set_history(distance2, node);
  }
  TORCH_CHECK_NOT_IMPLEMENTED(!moves(s) && !moves(features),
                              "starling::gravnet: forward mode is not there: expected reverse mode");
  return {std::move(out), std::move(index), std::move(distance2), std::move(max_slot)};
}

std::tuple<at::Tensor, at::Tensor> once_differentiable_gradient(const at::Tensor& space, const at::Tensor& features,
                                                                const at::Tensor& index, const at::Tensor& distance2,
                                                                const at::Tensor& max_slot, double factor,
                                                                bool absent_is_zero, bool subtract,
                                                                const at::Tensor& out_gradient,
                                                                const MaybeTensor& distance2_gradient) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return call_gradient(space, features, index, distance2, max_slot, {factor, absent_is_zero, subtract}, out_gradient,
                       distance2_gradient);
}

}  // namespace

void check_gravnet(const char* op, const at::Tensor& space, const at::Tensor& features) {
  check_computed_alike(op, "features", features, "space", space);
  TORCH_CHECK_VALUE(features.dim() == 2 && space.dim() == 2 && features.size(0) == space.size(0) &&
                        features.size(1) >= 1 && features.size(1) <= kMaxMessageWidth,
                    op, ": features has shape ", features.sizes(), ", space ", space.sizes(),
                    ": expected the same rows, and 1 to ", kMaxMessageWidth, " features");
  TORCH_CHECK_VALUE(features.device() == space.device(), op, ": features is on ", features.device(), ": expected ",
                    space.device(), " as space");
}

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("gravnet", TORCH_FN(differentiable_gravnet));
  m.impl("_gravnet_gradient", TORCH_FN(once_differentiable_gradient));
}

}  // namespace starling::ops
