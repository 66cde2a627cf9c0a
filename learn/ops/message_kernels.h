#pragma once

#include <ATen/Functions.h>

#include <string>
#include <string_view>
#include <tuple>

#include "learn/ops/neighbor_gradient_kernels.h"
#include "learn/ops/operands.h"
#include "starling/message.h"

// The operators of messages on a device, written once as neighbors_kernels.h is.
namespace starling::ops {

/// Mean and maximum side by side [R, 2 F], and the slots of the maximum [R, F], int32.
using Aggregated = std::tuple<at::Tensor, at::Tensor>;

/// The tensors of messages, whose values are in the type that they are computed in.
struct MessageTensors {
  const at::Tensor& features;              ///< [S, F] float64, float32, float16 or bfloat16
  const at::Tensor& index;                 ///< int64 [R, k] or, with row splits, [E]
  const MaybeTensor& neighbor_row_splits;  ///< int64 [R + 1]
  const MaybeTensor& distance2;            ///< laid out as the index is, of the features' compute_type()
  const MaybeTensor& weight;               ///< the same; one of the two at most

  std::int64_t num_rows() const { return neighbor_row_splits ? neighbor_row_splits->size(0) - 1 : index.size(0); }
};

struct MessageOptions {
  double factor;
  std::string divisor;  ///< found, all or weights
  bool absent_is_zero, subtract;
};

/// Throws ValueError with the shapes and the rule where dimensions, types or devices are wrong.
void check(const char* op, const MessageTensors& tensors);
MeanDivisor parse_divisor(const char* op, std::string_view divisor);

/// What the core reads of them.
struct MessageOperands {
  MessageOperands(const char* op, const MessageTensors& tensors, const MessageOptions& how)
      : num_rows(tensors.num_rows()), options(how), divisor(parse_divisor(op, how.divisor)) {
    check(op, tensors);
    const auto whole = [](const MaybeTensor& tensor) { return tensor ? tensor->contiguous() : at::Tensor(); };
    features = tensors.features.contiguous();
    index = narrowed(op, "index", tensors.index, "−1 or a row below " + std::to_string(features.size(0)));
    splits = whole(tensors.neighbor_row_splits);
    distance2 = whole(tensors.distance2);
    weight = whole(tensors.weight);
  }

  template <typename T, typename S>
  Messages<T, S> messages() const {
    Messages<T, S> result;
    result.index = index.const_data_ptr<std::int32_t>();
    result.num_rows = static_cast<std::int32_t>(num_rows);
    if (splits.defined()) {
      result.neighbor_row_splits = splits.const_data_ptr<std::int64_t>();
      result.num_entries = index.numel();
    } else {
      result.k = static_cast<int>(index.size(1));
    }
    result.features = values_of<S>(features);
    result.num_sources = static_cast<std::int32_t>(features.size(0));
    result.width = static_cast<int>(features.size(1));
    if (distance2.defined()) result.distance2 = distance2.const_data_ptr<T>();
    if (weight.defined()) result.weight = weight.const_data_ptr<T>();
    result.factor = static_cast<T>(options.factor);
    result.divisor = divisor;
    result.absent_is_zero = options.absent_is_zero;
    result.subtract = options.subtract;
    return result;
  }

  std::int64_t num_rows;
  MessageOptions options;
  MeanDivisor divisor;
  at::Tensor features, index, splits, distance2, weight;
};

template <typename Backend>
Aggregated aggregate(const at::Tensor& features, const at::Tensor& index, const MaybeTensor& neighbor_row_splits,
                     const MaybeTensor& distance2, const MaybeTensor& weight, double factor, std::string_view divisor,
                     bool absent_is_zero, bool subtract) {
  const char* const op = "starling::aggregate";
  const Backend backend(op, features);
  const MessageOperands operands(op, {features, index, neighbor_row_splits, distance2, weight},
                                 {factor, std::string(divisor), absent_is_zero, subtract});
  const std::int64_t width = features.size(1);
  const at::Tensor out = at::empty({operands.num_rows, 2 * width}, features.options());
  const at::Tensor max_slot = at::empty({operands.num_rows, width}, index.options().dtype(at::kInt));
  translating_errors(op, [&] {
    for_stored_type(features.scalar_type(), [&]<typename T, typename S>(T, S) {
      S* const mean = mutable_values_of<S>(out);
      const Aggregates<S> aggregates{mean, mean + width, 2 * width, max_slot.mutable_data_ptr<std::int32_t>()};
      backend.aggregate(operands.messages<T, S>(), aggregates);
    });
  });
  return {out, max_slot};
}

template <typename Backend>
std::tuple<at::Tensor, at::Tensor> aggregate_gradient(const at::Tensor& features, const at::Tensor& index,
                                                      const MaybeTensor& neighbor_row_splits,
                                                      const MaybeTensor& distance2, const MaybeTensor& weight,
                                                      double factor, std::string_view divisor, bool absent_is_zero,
                                                      bool subtract, const at::Tensor& out_gradient,
                                                      const at::Tensor& max_slot) {
  const char* const op = "starling::_aggregate_gradient";
  const Backend backend(op, features);
  const MessageOperands operands(op, {features, index, neighbor_row_splits, distance2, weight},
                                 {factor, std::string(divisor), absent_is_zero, subtract});
  const std::int64_t width = features.size(1);
  check_like(op, "out_gradient", out_gradient, "the output", {operands.num_rows, 2 * width}, features);
  TORCH_CHECK_VALUE(max_slot.sizes() == at::IntArrayRef({operands.num_rows, width}) &&
                        max_slot.scalar_type() == at::kInt && max_slot.device() == features.device(),
                    op, ": max_slot is ", max_slot.scalar_type(), " ", max_slot.sizes(), ": expected int32 [",
                    operands.num_rows, ", ", width, "] as starling::aggregate gave it");
  const at::Tensor gradient = out_gradient.contiguous(), slots = max_slot.contiguous();
  const at::Tensor features_gradient = at::empty(features.sizes(), features.options());
  const at::Tensor weight_gradient = at::empty(index.sizes(), features.options().dtype(compute_type(features)));
  translating_errors(op, [&] {
    for_stored_type(features.scalar_type(), [&]<typename T, typename S>(T, S) {
      const S* const mean = values_of<S>(gradient);
      const AggregateGradients<S> gradients{mean, mean + width, 2 * width, slots.const_data_ptr<std::int32_t>()};
      backend.aggregate_gradient(operands.messages<T, S>(), gradients, mutable_values_of<S>(features_gradient),
                                 weight_gradient.mutable_data_ptr<T>());
    });
  });
  return {features_gradient, weight_gradient};
}

}  // namespace starling::ops
