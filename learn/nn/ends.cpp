#include "learn/nn/ends.h"

namespace starling::learn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor sum_of(const Tensor& rows, const Tensor& index, const Tensor& order, const Tensor& begin, std::int64_t count) {
  if (!rows.is_cuda()) return torch::zeros({count, rows.size(1)}, rows.options()).index_add_(0, index, rows);
  return at::segment_reduce(rows.index_select(0, order), "sum", /*lengths=*/{}, /*indices=*/{}, begin, /*axis=*/0,
                            /*unsafe=*/true, /*initial=*/0);
}

struct Gather : torch::autograd::Function<Gather> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& index, const Tensor& order,
                        const Tensor& begin) {
    context->save_for_backward({index, order, begin});
    context->saved_data["count"] = rows.size(0);
    return rows.index_select(0, index);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradient) {
    const variable_list saved = context->get_saved_variables();
    return {sum_of(gradient[0], saved[0], saved[1], saved[2], context->saved_data["count"].toInt()), Tensor(), Tensor(),
            Tensor()};
  }
};

struct Sum : torch::autograd::Function<Sum> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& index, const Tensor& order,
                        const Tensor& begin, std::int64_t count) {
    context->save_for_backward({index});
    return sum_of(rows, index, order, begin, count);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradient) {
    const Tensor index = context->get_saved_variables()[0];
    return {gradient[0].index_select(0, index), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Ends::Ends(const Tensor& nodes, std::int64_t count)
    : index_(nodes.to(torch::kLong)), order_(torch::empty({0}, index_.options())), begin_(order_), count_(count) {
  if (!nodes.is_cuda()) return;
  const auto [sorted, order] = nodes.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
  order_ = order;
  begin_ = torch::searchsorted(sorted, torch::arange(count + 1, nodes.options()));
}

Tensor Ends::gather(const Tensor& rows) const { return Gather::apply(rows, index_, order_, begin_); }

Tensor Ends::sum(const Tensor& rows) const { return Sum::apply(rows, index_, order_, begin_, count_); }

}  // namespace starling::learn
