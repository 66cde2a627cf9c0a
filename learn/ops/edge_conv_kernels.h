#pragma once

#include <ATen/Context.h>
#include <ATen/Functions.h>

#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "learn/ops/neighbor_gradient_kernels.h"
#include "learn/ops/operands.h"
#include "starling/edge_conv.h"

// The operators of EdgeConv on a device, written once as neighbors_kernels.h is.
namespace starling::ops {

/// The output [R, W], what the gradient needs of it [R, W] or [0, W], int32, and the sources of each list [R], int32.
using EdgeConvTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
/// Gradients of target, source, weight and bias; those of what is not given are empty.
using EdgeConvGradientTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// float64, or float32, float16 and bfloat16 in any mixture, which are computed in float32.
struct EdgeTensors {
  const at::Tensor& target;                ///< [R, H]
  const at::Tensor& source;                ///< [S, H]
  const at::Tensor& index;                 ///< int64 [R, k] or, with row splits, [E]
  const MaybeTensor& neighbor_row_splits;  ///< int64 [R + 1]
  const MaybeTensor& weight;               ///< [O, H]
  const MaybeTensor& bias;                 ///< [O]
};

struct EdgeChoices {
  std::string aggr;  ///< max, mean or sum
  bool relu = false;
  std::optional<bool> tf32;  ///< none: as torch.backends.cuda.matmul says, and where an operand has 16 bits
};

/// Throws ValueError with the shapes and the rule where dimensions, types or devices are wrong.
void check(const char* op, const EdgeTensors& tensors);
EdgeAggregation parse_aggregation(const char* op, std::string_view aggr);

/// What the core reads of them.
struct EdgeOperands {
  EdgeOperands(const char* op, const EdgeTensors& tensors, const EdgeChoices& choices)
      : aggregation(parse_aggregation(op, choices.aggr)), relu(choices.relu) {
    check(op, tensors);
    type = compute_type(tensors.target);
    const auto computed = [&](const at::Tensor& values) { return values.to(type).contiguous(); };
    target = computed(tensors.target);
    source = computed(tensors.source);
    if (tensors.weight) weight = computed(*tensors.weight);
    if (tensors.bias) bias = computed(*tensors.bias);
    index = narrowed(op, "index", tensors.index, "−1 or a row below " + std::to_string(source.size(0)));
    if (tensors.neighbor_row_splits) splits = tensors.neighbor_row_splits->contiguous();
    tf32 = choices.tf32.value_or(tensors.target.element_size() == 2 || at::globalContext().allowTF32CuBLAS());
  }

  std::int64_t width() const { return weight.defined() ? weight.size(0) : target.size(1); }
  bool needs_kept() const { return aggregation == EdgeAggregation::max || relu; }

  template <typename T>
  EdgeConv<T> conv() const {
    EdgeConv<T> result;
    result.index = index.const_data_ptr<std::int32_t>();
    result.num_rows = static_cast<std::int32_t>(target.size(0));
    if (splits.defined()) {
      result.neighbor_row_splits = splits.const_data_ptr<std::int64_t>();
      result.num_entries = index.numel();
    } else {
      result.k = static_cast<int>(index.size(1));
    }
    result.target = target.const_data_ptr<T>();
    result.source = source.const_data_ptr<T>();
    result.num_sources = static_cast<std::int32_t>(source.size(0));
    result.hidden = static_cast<int>(target.size(1));
    result.aggregation = aggregation;
    result.relu = relu;
    if (weight.defined()) {
      result.weight = weight.const_data_ptr<T>();
      result.outputs = static_cast<int>(weight.size(0));
    }
    if (bias.defined()) result.bias = bias.const_data_ptr<T>();
    result.tf32 = tf32;
    return result;
  }

  EdgeAggregation aggregation;
  bool relu, tf32;
  at::ScalarType type;
  at::Tensor target, source, index, splits, weight, bias;
};

template <typename Backend>
EdgeConvTensors edge_conv(const at::Tensor& target, const at::Tensor& source, const at::Tensor& index,
                          const MaybeTensor& neighbor_row_splits, const MaybeTensor& weight, const MaybeTensor& bias,
                          std::string_view aggr, bool relu, std::optional<bool> tf32) {
  const char* const op = "starling::edge_conv";
  const Backend backend(op, target);
  const EdgeOperands operands(op, {target, source, index, neighbor_row_splits, weight, bias},
                              {std::string(aggr), relu, tf32});
  const std::int64_t rows = target.size(0), width = operands.width();
  const at::Tensor out = at::empty({rows, width}, operands.target.options());
  const at::Tensor kept = at::empty({operands.needs_kept() ? rows : 0, width}, index.options().dtype(at::kInt));
  const at::Tensor found = at::empty({rows}, kept.options());
  translating_errors(op, [&] {
    for_type(operands.type, [&]<typename T>(T) {
      const EdgeConvResult<T> result{out.mutable_data_ptr<T>(),
                                     operands.needs_kept() ? kept.mutable_data_ptr<std::int32_t>() : nullptr,
                                     found.mutable_data_ptr<std::int32_t>()};
      backend.edge_conv(operands.conv<T>(), result);
    });
  });
  return {out.to(target.scalar_type()), kept, found};
}

template <typename Backend>
EdgeConvGradientTensors edge_conv_gradient(const at::Tensor& target, const at::Tensor& source, const at::Tensor& index,
                                           const MaybeTensor& neighbor_row_splits, const MaybeTensor& weight,
                                           const MaybeTensor& bias, std::string_view aggr, bool relu,
                                           const at::Tensor& out_gradient, const at::Tensor& kept) {
  const char* const op = "starling::_edge_conv_gradient";
  const Backend backend(op, target);
  const EdgeOperands operands(op, {target, source, index, neighbor_row_splits, weight, bias},
                              {std::string(aggr), relu, std::nullopt});
  const std::int64_t rows = target.size(0), width = operands.width();
  check_like(op, "out_gradient", out_gradient, "the output", {rows, width}, target);
  TORCH_CHECK_VALUE(kept.sizes() == at::IntArrayRef({operands.needs_kept() ? rows : 0, width}) &&
                        kept.scalar_type() == at::kInt && kept.device() == target.device(),
                    op, ": kept is ", kept.scalar_type(), " ", kept.sizes(),
                    ": expected what starling::edge_conv gave");
  const at::Tensor gradient = out_gradient.to(operands.type).contiguous(), whole_kept = kept.contiguous();
  const auto like = [](const at::Tensor& values, const at::Tensor& options) {
    return values.defined() ? at::empty(values.sizes(), values.options()) : at::empty({0}, options.options());
  };
  const at::Tensor of_target = like(operands.target, target), of_source = like(operands.source, target),
                   of_weight = like(operands.weight, operands.target), of_bias = like(operands.bias, operands.target);
  translating_errors(op, [&] {
    for_type(operands.type, [&]<typename T>(T) {
      const EdgeConvGradients<T> gradients{of_target.mutable_data_ptr<T>(), of_source.mutable_data_ptr<T>(),
                                           weight ? of_weight.mutable_data_ptr<T>() : nullptr,
                                           bias ? of_bias.mutable_data_ptr<T>() : nullptr};
      backend.edge_conv_gradient(operands.conv<T>(), gradient.const_data_ptr<T>(),
                                 operands.needs_kept() ? whole_kept.const_data_ptr<std::int32_t>() : nullptr,
                                 gradients);
    });
  });
  const auto as = [](const at::Tensor& values, const MaybeTensor& operand) {
    return operand ? values.to(operand->scalar_type()) : values;
  };
  return {of_target.to(target.scalar_type()), of_source.to(source.scalar_type()), as(of_weight, weight),
          as(of_bias, bias)};
}

}  // namespace starling::ops
