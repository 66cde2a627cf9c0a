#pragma once

#include <ATen/Functions.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <tuple>

#include "learn/ops/operands.h"

// The operators for every device: Host (cpu.cpp) and Cuda (cuda.cpp) call the core.
namespace starling::ops {

inline std::span<std::byte> bytes(const at::Tensor& workspace) {
  return {static_cast<std::byte*>(workspace.mutable_data_ptr()), static_cast<std::size_t>(workspace.numel())};
}

inline at::Tensor make_workspace(std::size_t size, const at::Tensor& points) {
  return at::empty({static_cast<std::int64_t>(size)}, points.options().dtype(at::kByte));
}

template <typename Backend>
std::tuple<at::Tensor, at::Tensor> knn(const at::Tensor& points, std::int64_t k, const MaybeTensor& row_splits,
                                       const MaybeTensor& queries, const MaybeTensor& query_row_splits, bool loop,
                                       std::optional<double> max_radius, const MaybeTensor& direction) {
  const char* const op = "starling::knn";
  const Inputs inputs{points, row_splits, queries, query_row_splits, direction, loop};
  check_k(op, k);
  check_max_radius(op, max_radius);
  const Backend backend(op, points);
  // The indices are int64: 8 bytes each.
  const std::int64_t rows = inputs.num_queries();
  TORCH_CHECK_VALUE(rows <= std::numeric_limits<std::int64_t>::max() / 8 / std::max<std::int64_t>(k, 1), op, ": ", rows,
                    " queries of k ", k, ": more than memory can hold");
  const Operands operands = prepare(op, inputs, backend.capturing());
  const at::Tensor index = at::empty({rows, k}, points.options().dtype(at::kInt));
  const at::Tensor distance2 = at::empty({rows, k}, operands.points.options());
  at::Tensor bad_row;
  translating_errors(op, [&] {
    for_type(operands.points.scalar_type(), [&]<typename T>(T) {
      const auto search = operands.search<T>(loop, max_radius.value_or(std::numeric_limits<double>::infinity()));
      bad_row = backend.knn(search, static_cast<int>(k), index.mutable_data_ptr<std::int32_t>(),
                            distance2.mutable_data_ptr<T>());
    });
  });
  at::Tensor index64 = index.to(at::kLong);
  backend.check_bad_row(bad_row, points.size(0));
  return {std::move(index64), distance2};
}

template <typename Backend>
WithinRadius radius(const at::Tensor& points, double radius, const MaybeTensor& row_splits, const MaybeTensor& queries,
                    const MaybeTensor& query_row_splits, bool loop, std::optional<std::int64_t> max_neighbors,
                    const MaybeTensor& direction) {
  const char* const op = "starling::radius";
  const Inputs inputs{points, row_splits, queries, query_row_splits, direction, loop};
  check_radius(op, radius, max_neighbors);
  const Backend backend(op, points);
  TORCH_CHECK(!backend.capturing(), op,
              ": the number of neighbours must be read on the host, which a CUDA graph cannot hold: capture "
              "starling::knn with max_radius instead");
  const Operands operands = prepare(op, inputs, false);
  const std::int64_t rows = inputs.num_queries();
  const at::Tensor splits = at::zeros({rows + 1}, points.options().dtype(at::kLong));
  const at::Tensor within = at::empty({rows}, points.options().dtype(at::kInt));
  at::Tensor index, distance2;
  translating_errors(op, [&] {
    for_type(operands.points.scalar_type(), [&]<typename T>(T) {
      const auto search = operands.search<T>(loop, radius);
      const at::Tensor count = at::empty({rows}, within.options());
      constexpr std::int64_t kAll = std::numeric_limits<std::int32_t>::max();
      const auto [workspace, bad_row] =
          backend.radius_count(search, static_cast<std::int32_t>(std::min(max_neighbors.value_or(kAll), kAll)),
                               count.mutable_data_ptr<std::int32_t>(), within.mutable_data_ptr<std::int32_t>());
      at::Tensor sums = splits.narrow(0, 1, rows);
      at::cumsum_out(sums, count, 0, at::kLong);
      const std::int64_t edges = backend.check_bad_row(bad_row, points.size(0), splits.narrow(0, rows, 1));
      index = at::empty({edges}, count.options());
      distance2 = at::empty({edges}, operands.points.options());
      backend.radius_fill(search, splits.const_data_ptr<std::int64_t>(), index.mutable_data_ptr<std::int32_t>(),
                          distance2.mutable_data_ptr<T>(), workspace);
    });
  });
  return {splits, index.to(at::kLong), distance2, within.to(at::kLong)};
}

}  // namespace starling::ops
