#include <ATen/Functions.h>
#include <torch/library.h>

#include "learn/ops/autograd.h"

// Rows of nodes gathered to edges, rows of edges summed to nodes: each is the gradient of the other. Torch's own
// gradients of a gather are sums by atomics on CUDA, and so is what torch.compile makes of either on the CPU.
namespace starling::ops {
namespace {

void check(const char* op, const at::Tensor& rows, const at::Tensor& index) {
  check_floating(op, "rows", rows);
  TORCH_CHECK_VALUE(rows.dim() == 2, op, ": rows has shape ", rows.sym_sizes(), ": expected [rows, width]");
  TORCH_CHECK_VALUE(index.scalar_type() == at::kInt || index.scalar_type() == at::kLong, op, ": index is ",
                    index.scalar_type(), ": expected int32 or int64");
  TORCH_CHECK_VALUE(index.dim() == 1, op, ": index has shape ", index.sym_sizes(), ": expected one dimension");
  TORCH_CHECK_VALUE(index.device() == rows.device(), op, ": index is on ", index.device(), ": expected ", rows.device(),
                    " as the rows");
}

at::Tensor gather_rows(const at::Tensor& rows, const at::Tensor& index) { return rows.index_select(0, index); }

// In the order of the rows, in float at least: index_add_ goes through them one by one on the CPU, and index_put_ sorts
// them on CUDA. (index_add_ by an index of int32 takes several times as long.)
at::Tensor sum_rows(const at::Tensor& rows, const at::Tensor& index, std::int64_t count) {
  at::Tensor sums = at::zeros({count, rows.size(1)}, rows.options().dtype(compute_type(rows)));
  const at::Tensor values = rows.to(sums.scalar_type()), place = index.to(at::kLong);
  if (rows.is_cuda()) {
    sums.index_put_({place}, values, /*accumulate=*/true);
  } else {
    sums.index_add_(0, place, values);
  }
  return sums.to(rows.scalar_type());
}

at::Tensor call_gather(const at::Tensor& rows, const at::Tensor& index) {
  static const auto op = find<at::Tensor(const at::Tensor&, const at::Tensor&)>("starling::gather_rows");
  return op.call(rows, index);
}

at::Tensor call_sum(const at::Tensor& rows, const at::Tensor& index, const c10::SymInt& count) {
  static const auto op = find<at::Tensor(const at::Tensor&, const at::Tensor&, c10::SymInt)>("starling::sum_rows");
  return op.call(rows, index, count);
}

struct GatherBackward : SavingNode {
  c10::SymInt count;
  variable_list apply(variable_list&& gradients) override {
    return {gradients[0].defined() ? call_sum(gradients[0], saved()[0], count) : at::Tensor()};
  }
};

struct SumBackward : SavingNode {
  variable_list apply(variable_list&& gradients) override {
    return {gradients[0].defined() ? call_gather(gradients[0], saved()[0]) : at::Tensor()};
  }
};

at::Tensor differentiable_gather(const at::Tensor& rows, const at::Tensor& index) {
  check("starling::gather_rows", rows, index);
  at::Tensor out;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    out = call_gather(rows, index);
  }
  if (compute_requires_grad(rows)) {
    const auto node = make_node<GatherBackward>({rows}, {index});
    static_cast<GatherBackward&>(*node).count = rows.sym_size(0);
    set_history(out, node);
  }
  if (moves(rows)) set_tangent(out, call_gather(tangent(rows), index));
  return out;
}

at::Tensor differentiable_sum(const at::Tensor& rows, const at::Tensor& index, c10::SymInt count) {
  check("starling::sum_rows", rows, index);
  at::Tensor out;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    out = call_sum(rows, index, count);
  }
  if (compute_requires_grad(rows)) set_history(out, make_node<SumBackward>({rows}, {index}));
  if (moves(rows)) set_tangent(out, call_sum(tangent(rows), index, count));
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, CompositeExplicitAutograd, m) {
  m.impl("gather_rows", TORCH_FN(gather_rows));
  m.impl("sum_rows", TORCH_FN(sum_rows));
}

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("gather_rows", TORCH_FN(differentiable_gather));
  m.impl("sum_rows", TORCH_FN(differentiable_sum));
}

}  // namespace starling::ops
