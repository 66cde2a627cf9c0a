#pragma once

#include <ATen/Functions.h>

#include <tuple>

#include "learn/ops/operands.h"

// The operators that derivatives are made of, for every device, as in kernels.h. Their arguments are what knn and
// radius saved: points and queries in the type that the distances have.
namespace starling::ops {

struct ListTensors {
  const at::Tensor& points;
  const MaybeTensor& queries;
  const at::Tensor& index;                 ///< int64, [M, k] or, with row splits, [E]
  const MaybeTensor& neighbor_row_splits;  ///< int64 [M + 1]
};

void check(const char* op, const ListTensors& lists);
/// `values` must be like `like` in shape, type and device.
void check_like(const char* op, const char* name, const at::Tensor& values, const char* like_name,
                at::IntArrayRef shape, const at::Tensor& like);

/// The lists as the core reads them.
struct ListOperands {
  explicit ListOperands(const ListTensors& lists)
      : points(lists.points.contiguous()),
        queries(lists.queries ? lists.queries->contiguous() : at::Tensor()),
        index(lists.index.to(at::kInt).contiguous()),
        splits(lists.neighbor_row_splits ? lists.neighbor_row_splits->contiguous() : at::Tensor()) {}

  template <typename T>
  NeighborLists<T> lists() const {
    // Null would mean the points.
    static const T no_queries = 0;
    NeighborLists<T> result;
    result.points = points.const_data_ptr<T>();
    result.num_points = static_cast<std::int32_t>(points.size(0));
    result.dimensions = static_cast<int>(points.size(1));
    if (queries.defined()) {
      result.queries = queries.size(0) == 0 ? &no_queries : queries.const_data_ptr<T>();
      result.num_queries = static_cast<std::int32_t>(queries.size(0));
    }
    result.index = index.const_data_ptr<std::int32_t>();
    if (splits.defined()) {
      result.neighbor_row_splits = splits.const_data_ptr<std::int64_t>();
      result.num_entries = index.numel();
    } else {
      result.k = static_cast<int>(index.size(1));
    }
    return result;
  }

  at::Tensor points, queries, index, splits;
};

template <typename Backend>
std::tuple<at::Tensor, at::Tensor> distance_gradient(const at::Tensor& points, const MaybeTensor& queries,
                                                     const at::Tensor& index, const MaybeTensor& neighbor_row_splits,
                                                     const at::Tensor& weight) {
  const char* const op = "starling::_distance_gradient";
  const ListTensors tensors{points, queries, index, neighbor_row_splits};
  check(op, tensors);
  check_like(op, "weight", weight, "index", index.sizes(), points);
  const Backend backend(op, points);
  const ListOperands operands(tensors);
  const at::Tensor weights = weight.contiguous();
  const at::Tensor points_gradient = at::empty(points.sizes(), points.options());
  const at::Tensor queries_gradient = at::empty({queries ? queries->size(0) : 0, points.size(1)}, points.options());
  translating_errors(op, [&] {
    for_type(points.scalar_type(), [&]<typename T>(T) {
      backend.distance_gradient(operands.lists<T>(), weights.const_data_ptr<T>(), points_gradient.mutable_data_ptr<T>(),
                                queries ? queries_gradient.mutable_data_ptr<T>() : nullptr);
    });
  });
  return {points_gradient, queries_gradient};
}

template <typename Backend>
at::Tensor distance_tangent(const at::Tensor& points, const MaybeTensor& queries, const at::Tensor& index,
                            const MaybeTensor& neighbor_row_splits, const at::Tensor& points_tangent,
                            const MaybeTensor& queries_tangent) {
  const char* const op = "starling::_distance_tangent";
  const ListTensors tensors{points, queries, index, neighbor_row_splits};
  check(op, tensors);
  check_like(op, "points_tangent", points_tangent, "points", points.sizes(), points);
  TORCH_CHECK_VALUE(queries.has_value() == queries_tangent.has_value(), op,
                    ": expected queries and queries_tangent both or none");
  if (queries) check_like(op, "queries_tangent", *queries_tangent, "queries", queries->sizes(), points);
  const Backend backend(op, points);
  const ListOperands operands(tensors);
  const at::Tensor points_moved = points_tangent.contiguous();
  const at::Tensor queries_moved = queries ? queries_tangent->contiguous() : at::Tensor();
  const at::Tensor out = at::empty(index.sizes(), points.options());
  translating_errors(op, [&] {
    for_type(points.scalar_type(), [&]<typename T>(T) {
      backend.distance_tangent(operands.lists<T>(), points_moved.const_data_ptr<T>(),
                               queries ? queries_moved.const_data_ptr<T>() : nullptr, out.mutable_data_ptr<T>());
    });
  });
  return out;
}

}  // namespace starling::ops
