#pragma once

#include <ATen/Functions.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "learn/ops/message_kernels.h"
#include "learn/ops/neighbors_kernels.h"

// The operators of GravNet's messages on a device, written once as neighbors_kernels.h is: search and aggregate in one.
namespace starling::ops {

/// out, index, distance2, max_slot.
using GravNetTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

struct GravNetOptions {
  double factor;
  bool absent_is_zero, subtract;
};

/// Throws ValueError with the shapes and the rule where features do not fit the space.
void check_gravnet(const char* op, const at::Tensor& space, const at::Tensor& features);

/// The messages of lists [N, k] of the hits' own neighbours. All tensors are contiguous, and of the types of the core.
template <typename T, typename S>
Messages<T, S> gravnet_messages(const at::Tensor& features, const at::Tensor& index, const at::Tensor& distance2,
                                const GravNetOptions& options) {
  Messages<T, S> messages;
  messages.index = index.const_data_ptr<std::int32_t>();
  messages.num_rows = messages.num_sources = static_cast<std::int32_t>(features.size(0));
  messages.k = static_cast<int>(index.size(1));
  messages.features = values_of<S>(features);
  messages.width = static_cast<int>(features.size(1));
  messages.distance2 = distance2.const_data_ptr<T>();
  messages.factor = static_cast<T>(options.factor);
  messages.divisor = options.absent_is_zero ? MeanDivisor::all : MeanDivisor::found;
  messages.absent_is_zero = options.absent_is_zero;
  messages.subtract = options.subtract;
  return messages;
}

template <typename Backend>
GravNetTensors gravnet(const at::Tensor& space, const at::Tensor& features, std::int64_t k,
                       const MaybeTensor& row_splits, double factor, bool loop, bool absent_is_zero, bool subtract) {
  const char* const op = "starling::gravnet";
  check_k(op, k);
  check_gravnet(op, space, features);
  const Backend backend(op, space);
  const std::int64_t rows = space.size(0), width = features.size(1);
  TORCH_CHECK_VALUE(rows <= std::numeric_limits<std::int32_t>::max() / std::max<std::int64_t>(k, 1), op, ": ", rows,
                    " hits of k ", k, ": expected at most 2^31 - 1 neighbours");
  const Operands operands = prepare(op, {space, row_splits, {}, {}, {}, loop}, backend.capturing());
  const at::Tensor h = features.contiguous();
  const at::Tensor index = at::empty({rows, k}, space.options().dtype(at::kInt));
  const at::Tensor distance2 = at::empty({rows, k}, operands.points.options());
  const at::Tensor out = at::empty({rows, 2 * width}, features.options());
  const at::Tensor max_slot = at::empty({rows, width}, index.options());
  at::Tensor bad_row;
  translating_errors(op, [&] {
    for_stored_type(features.scalar_type(), [&]<typename T, typename S>(T, S) {
      const auto search = operands.search<T>(loop, std::numeric_limits<double>::infinity());
      bad_row = backend.knn(search, static_cast<int>(k), index.mutable_data_ptr<std::int32_t>(),
                            distance2.mutable_data_ptr<T>());
      S* const mean = mutable_values_of<S>(out);
      const Aggregates<S> aggregates{mean, mean + width, 2 * width, max_slot.mutable_data_ptr<std::int32_t>()};
      backend.aggregate(gravnet_messages<T, S>(h, index, distance2, {factor, absent_is_zero, subtract}), aggregates);
    });
  });
  // Last: the device is not waited for until all its work is queued.
  backend.check_bad_row(bad_row, rows);
  return {out, index, distance2, max_slot};
}

template <typename Backend>
std::tuple<at::Tensor, at::Tensor> gravnet_gradient(const at::Tensor& space, const at::Tensor& features,
                                                    const at::Tensor& index, const at::Tensor& distance2,
                                                    const at::Tensor& max_slot, double factor, bool absent_is_zero,
                                                    bool subtract, const at::Tensor& out_gradient,
                                                    const MaybeTensor& distance2_gradient) {
  const char* const op = "starling::_gravnet_gradient";
  const Backend backend(op, space);
  check_gravnet(op, space, features);
  const std::int64_t rows = features.size(0), width = features.size(1), k = index.size(1);
  const at::Tensor s = space.contiguous(), h = features.contiguous(), g = out_gradient.contiguous(),
                   lists = index.contiguous(), d2 = distance2.contiguous(), slots = max_slot.contiguous();
  const auto check_gave = [&](const char* name, const at::Tensor& tensor, at::IntArrayRef shape, at::ScalarType type) {
    TORCH_CHECK_VALUE(tensor.sizes() == shape && tensor.scalar_type() == type && tensor.device() == features.device(),
                      op, ": ", name, " is ", tensor.scalar_type(), " ", tensor.sizes(), ": expected ", type, " ",
                      shape, " as starling::gravnet gave");
  };
  const at::ScalarType type = compute_type(features);
  check_gave("space", space, {rows, space.size(1)}, type);
  check_gave("index", index, {rows, k}, at::kInt);
  check_gave("distance2", distance2, {rows, k}, type);
  check_gave("max_slot", max_slot, {rows, width}, at::kInt);
  check_gave("out_gradient", out_gradient, {rows, 2 * width}, features.scalar_type());
  if (distance2_gradient) check_gave("distance2_gradient", *distance2_gradient, {rows, k}, type);

  const at::Tensor space_gradient = at::empty(s.sizes(), s.options()), features_gradient = at::empty_like(h);
  at::Tensor of_distance2 = at::empty(d2.sizes(), d2.options());
  translating_errors(op, [&] {
    for_stored_type(features.scalar_type(), [&]<typename T, typename S>(T, S) {
      auto messages = gravnet_messages<T, S>(h, lists, d2, {factor, absent_is_zero, subtract});
      const auto [memory, holders] = backend.find_holders({.index = messages.index,
                                                           .num_rows = messages.num_rows,
                                                           .k = messages.k,
                                                           .num_entries = lists.numel(),
                                                           .num_points = messages.num_sources});
      messages.holders = holders;
      const S* const mean = values_of<S>(g);
      const AggregateGradients<S> gradients{mean, mean + width, 2 * width, slots.const_data_ptr<std::int32_t>()};
      backend.aggregate_gradient(messages, gradients, mutable_values_of<S>(features_gradient),
                                 of_distance2.mutable_data_ptr<T>());
      if (distance2_gradient) of_distance2 += *distance2_gradient;
      NeighborLists<T> neighbors;
      neighbors.points = s.const_data_ptr<T>();
      neighbors.num_points = messages.num_rows;
      neighbors.dimensions = static_cast<int>(s.size(1));
      neighbors.index = messages.index;
      neighbors.k = messages.k;
      neighbors.holders = holders;
      backend.distance_gradient(neighbors, of_distance2.const_data_ptr<T>(), space_gradient.mutable_data_ptr<T>(),
                                static_cast<T*>(nullptr));
    });
  });
  return {space_gradient, features_gradient};
}

}  // namespace starling::ops
