#pragma once

#include <ATen/Functions.h>

#include <string_view>
#include <tuple>

#include "learn/ops/neighbors_kernels.h"
#include "learn/ops/operands.h"
#include "starling/condensation.h"

// The operator of the clustering of object condensation on a device, written once as neighbors_kernels.h is.
namespace starling::ops {

/// Throws ValueError with the shapes and the rule where dimensions, types or devices are wrong.
void check_condense(const char* op, const at::Tensor& beta, const at::Tensor& x, const MaybeTensor& scale);
CondenseAssign parse_assign(const char* op, std::string_view assign);

/// id and point, int64 [N].
template <typename Backend>
std::tuple<at::Tensor, at::Tensor> condense(const at::Tensor& beta, const at::Tensor& x, const MaybeTensor& row_splits,
                                            double t_beta, double t_d, const MaybeTensor& scale,
                                            std::string_view assign) {
  const char* const op = "starling::condense";
  check_condense(op, beta, x, scale);
  const CondenseOptions options{t_beta, t_d, parse_assign(op, assign)};
  const Backend backend(op, x);
  const Operands operands = prepare(op, {x, row_splits, {}, {}, {}}, backend.capturing());
  const auto computed = [&](const at::Tensor& values) { return values.to(operands.points.scalar_type()).contiguous(); };
  const at::Tensor betas = computed(beta), scales = scale ? computed(*scale) : at::Tensor();
  const at::Tensor id = at::empty({x.size(0)}, x.options().dtype(at::kInt)), point = at::empty_like(id);
  at::Tensor bad_row;
  translating_errors(op, [&] {
    for_type(betas.scalar_type(), [&]<typename T>(T) {
      CondenseHits<T> hits;
      hits.beta = betas.const_data_ptr<T>();
      hits.x = operands.points.const_data_ptr<T>();
      hits.num_hits = static_cast<std::int32_t>(x.size(0));
      hits.dimensions = static_cast<int>(x.size(1));
      if (operands.row_splits.defined()) {
        hits.row_splits = operands.row_splits.const_data_ptr<std::int32_t>();
        hits.num_events = static_cast<std::int32_t>(operands.row_splits.size(0) - 1);
      }
      if (scales.defined()) hits.scale = scales.const_data_ptr<T>();
      bad_row = backend.condense(hits, options,
                                 {id.mutable_data_ptr<std::int32_t>(), point.mutable_data_ptr<std::int32_t>()});
    });
  });
  const std::int64_t row = backend.read_bad_row(bad_row);
  TORCH_CHECK_VALUE(row < 0, op, ": beta, x or scale of row ", row,
                    " is not as expected: finite numbers, beta in 0 to 1, and a scale above 0");
  return {id.to(at::kLong), point.to(at::kLong)};
}

}  // namespace starling::ops
