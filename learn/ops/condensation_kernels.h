#pragma once

#include <ATen/Functions.h>

#include <string>
#include <string_view>
#include <tuple>

#include "learn/ops/neighbor_gradient_kernels.h"
#include "learn/ops/operands.h"
#include "starling/condensation.h"

// The operators of object condensation on a device, written once as neighbors_kernels.h is.
namespace starling::ops {

/// Attraction, repulsion, objects and noise [B], payload [B, P].
using CondensationTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// The tensors of the hits, whose values are in the type that they are computed in.
struct CondensationInputs {
  const at::Tensor& beta;         ///< [N] float64 or float32
  const at::Tensor& x;            ///< [N, D], like beta
  const at::Tensor& truth;        ///< [N] int8, uint8, int16, int32 or int64
  const MaybeTensor& row_splits;  ///< [B + 1] int32 or int64, on the device of beta or the CPU
  const MaybeTensor& scale;       ///< [N], like beta
  const MaybeTensor& weight;      ///< [N], like beta
  const MaybeTensor& payload;     ///< [N, P], like beta
};

struct CondensationChoices {
  std::string form, scale;
  bool soft;
  double q_min, centre;
  bool payload_per_event;
};

/// Throws ValueError for a form or scale of another name.
CondensationOptions parse(const char* op, const CondensationChoices& choices);
/// Throws ValueError where a type is wrong, or the row splits have no shape of row splits. Reads no sizes, which
/// tensors do not have while a program is traced; values may still be of a type that is converted to the computed one.
void check_types(const char* op, const CondensationInputs& inputs);
/// Throws ValueError with the shapes and the rule where dimensions, types or devices are wrong.
void check(const char* op, const CondensationInputs& inputs);

/// Contiguous tensors in the types of the core.
struct CondensationOperands {
  CondensationOperands(const char* op, const CondensationInputs& inputs, const CondensationChoices& choices,
                       bool capturing);

  std::int64_t events() const { return splits.defined() ? splits.size(0) - 1 : 1; }
  std::int64_t channels() const { return payload.defined() ? payload.size(1) : 0; }

  template <typename T>
  CondensationHits<T> hits() const {
    CondensationHits<T> result;
    result.beta = beta.const_data_ptr<T>();
    result.x = x.const_data_ptr<T>();
    result.truth = truth.const_data_ptr<std::int32_t>();
    result.num_hits = static_cast<std::int32_t>(beta.size(0));
    result.dimensions = static_cast<int>(x.size(1));
    if (splits.defined()) result.row_splits = splits.const_data_ptr<std::int32_t>();
    result.num_events = static_cast<std::int32_t>(events());
    if (scale.defined()) result.scale = scale.const_data_ptr<T>();
    if (weight.defined()) result.weight = weight.const_data_ptr<T>();
    if (payload.defined()) result.payload = payload.const_data_ptr<T>();
    result.payload_channels = static_cast<int>(channels());
    return result;
  }

  CondensationOptions options;
  at::Tensor beta, x, truth, splits, scale, weight, payload;
};

template <typename Backend>
CondensationTensors condensation_loss(const at::Tensor& beta, const at::Tensor& x, const at::Tensor& truth,
                                      const MaybeTensor& row_splits, const MaybeTensor& scale,
                                      const MaybeTensor& weight, const MaybeTensor& payload, std::string_view form,
                                      bool soft, double q_min, double centre, std::string_view scale_of,
                                      bool payload_per_event) {
  const char* const op = "starling::condensation_loss";
  const Backend backend(op, beta);
  const CondensationOperands operands(
      op, {beta, x, truth, row_splits, scale, weight, payload},
      {std::string(form), std::string(scale_of), soft, q_min, centre, payload_per_event}, backend.capturing());
  const auto term = [&] { return at::empty({operands.events()}, beta.options()); };
  const CondensationTensors out{term(), term(), term(), term(),
                                at::empty({operands.events(), operands.channels()}, beta.options())};
  at::Tensor bad_row;
  translating_errors(op, [&] {
    for_type(beta.scalar_type(), [&]<typename T>(T) {
      const CondensationTerms<T> terms{std::get<0>(out).mutable_data_ptr<T>(), std::get<1>(out).mutable_data_ptr<T>(),
                                       std::get<2>(out).mutable_data_ptr<T>(), std::get<3>(out).mutable_data_ptr<T>(),
                                       std::get<4>(out).mutable_data_ptr<T>()};
      bad_row = backend.condensation_loss(operands.hits<T>(), operands.options, terms);
    });
  });
  const std::int64_t row = backend.read_bad_row(bad_row);
  TORCH_CHECK_VALUE(row < 0, op, ": row ", row,
                    " has a value that is not as expected: finite numbers, beta in 0 to 1, and a scale above 0");
  return out;
}

template <typename Backend>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> condensation_gradient(
    const at::Tensor& beta, const at::Tensor& x, const at::Tensor& truth, const MaybeTensor& row_splits,
    const MaybeTensor& scale, const MaybeTensor& weight, const MaybeTensor& payload, std::string_view form, bool soft,
    double q_min, double centre, std::string_view scale_of, bool payload_per_event, const at::Tensor& of_attraction,
    const at::Tensor& of_repulsion, const at::Tensor& of_objects, const at::Tensor& of_noise,
    const at::Tensor& of_payload) {
  const char* const op = "starling::_condensation_gradient";
  const Backend backend(op, beta);
  const CondensationOperands operands(
      op, {beta, x, truth, row_splits, scale, weight, payload},
      {std::string(form), std::string(scale_of), soft, q_min, centre, payload_per_event}, backend.capturing());
  const at::Tensor* const terms[] = {&of_attraction, &of_repulsion, &of_objects, &of_noise, &of_payload};
  at::Tensor upstream[5];
  for (int i = 0; i < 5; ++i) {
    const std::vector<std::int64_t> shape = i < 4 ? std::vector<std::int64_t>{operands.events()}
                                                  : std::vector<std::int64_t>{operands.events(), operands.channels()};
    check_like(op, "the gradient of a term", *terms[i], "the term", shape, beta);
    upstream[i] = terms[i]->contiguous();
  }
  const at::Tensor beta_gradient = at::empty(beta.sizes(), beta.options()),
                   x_gradient = at::empty(x.sizes(), beta.options());
  const at::Tensor scale_gradient = at::empty({scale ? beta.size(0) : 0}, beta.options());
  const at::Tensor payload_gradient = at::empty({payload ? beta.size(0) : 0, operands.channels()}, beta.options());
  translating_errors(op, [&] {
    for_type(beta.scalar_type(), [&]<typename T>(T) {
      const CondensationTerms<const T> of{upstream[0].const_data_ptr<T>(), upstream[1].const_data_ptr<T>(),
                                          upstream[2].const_data_ptr<T>(), upstream[3].const_data_ptr<T>(),
                                          upstream[4].const_data_ptr<T>()};
      const CondensationGradients<T> gradients{beta_gradient.mutable_data_ptr<T>(), x_gradient.mutable_data_ptr<T>(),
                                               scale ? scale_gradient.mutable_data_ptr<T>() : nullptr,
                                               payload ? payload_gradient.mutable_data_ptr<T>() : nullptr};
      backend.condensation_gradient(operands.hits<T>(), operands.options, of, gradients);
    });
  });
  return {beta_gradient, x_gradient, scale_gradient, payload_gradient};
}

}  // namespace starling::ops
