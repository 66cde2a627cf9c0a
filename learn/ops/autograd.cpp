#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "learn/ops/operands.h"

// Gradients reach coordinates through d² alone. With B(x, g) the gradient of Σ g d² at x and T(x, u) the change of d²
// along u, <u, B(x, g)> has the derivatives T(x, u) along g and B(u, g) along x, and <h, T(x, u)> has B(u, h) along x
// and B(x, h) along u: derivatives of every order are made of these two.
namespace starling::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Signature>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

std::tuple<at::Tensor, at::Tensor> call_gradient(const at::Tensor& points, const MaybeTensor& queries,
                                                 const at::Tensor& index, const MaybeTensor& splits,
                                                 const at::Tensor& weight) {
  static const auto op =
      find<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const MaybeTensor&, const at::Tensor&,
                                              const MaybeTensor&, const at::Tensor&)>("starling::_distance_gradient");
  return op.call(points, queries, index, splits, weight);
}

at::Tensor call_tangent(const at::Tensor& points, const MaybeTensor& queries, const at::Tensor& index,
                        const MaybeTensor& splits, const at::Tensor& points_tangent,
                        const MaybeTensor& queries_tangent) {
  static const auto op = find<at::Tensor(const at::Tensor&, const MaybeTensor&, const at::Tensor&, const MaybeTensor&,
                                         const at::Tensor&, const MaybeTensor&)>("starling::_distance_tangent");
  return op.call(points, queries, index, splits, points_tangent, queries_tangent);
}

MaybeTensor maybe(const at::Tensor& tensor) { return tensor.defined() ? MaybeTensor(tensor) : std::nullopt; }

/// Lists of neighbours with their distances; neighbor_row_splits and within are undefined for [M, k].
struct Lists {
  at::Tensor neighbor_row_splits, index, distance2, within;
};

/// `search` gives the lists of points and queries.
struct Distances : torch::autograd::Function<Distances> {
  template <typename Search>
  static variable_list forward(AutogradContext* context, const at::Tensor& points, const MaybeTensor& queries,
                               const Search& search) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    Lists lists = search(points, queries);
    context->save_for_backward({points, queries.value_or(at::Tensor()), lists.index, lists.neighbor_row_splits});
    context->mark_non_differentiable(lists.neighbor_row_splits.defined()
                                         ? variable_list{lists.neighbor_row_splits, lists.index, lists.within}
                                         : variable_list{lists.index});
    if (!lists.neighbor_row_splits.defined()) return {lists.index, lists.distance2};
    return {lists.neighbor_row_splits, lists.index, lists.distance2, lists.within};
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const MaybeTensor queries = maybe(saved[1]);
    const auto [points_gradient, queries_gradient] =
        call_gradient(saved[0], queries, saved[2], maybe(saved[3]), gradients[saved[3].defined() ? 2 : 1]);
    return {points_gradient, queries ? queries_gradient : at::Tensor(), at::Tensor()};
  }
};

struct DistanceGradient : torch::autograd::Function<DistanceGradient> {
  static variable_list forward(AutogradContext* context, const at::Tensor& points, const MaybeTensor& queries,
                               const at::Tensor& weight, const at::Tensor& index, const MaybeTensor& splits) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({points, queries.value_or(at::Tensor()), weight, index, splits.value_or(at::Tensor())});
    auto [points_gradient, queries_gradient] = call_gradient(points, queries, index, splits, weight);
    return {std::move(points_gradient), std::move(queries_gradient)};
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &points = saved[0], &weight = saved[2], &index = saved[3], &moved = gradients[0];
    const MaybeTensor queries = maybe(saved[1]), splits = maybe(saved[4]);
    const MaybeTensor queries_moved = queries ? MaybeTensor(gradients[1]) : std::nullopt;
    const auto [to_points, to_queries] = call_gradient(moved, queries_moved, index, splits, weight);
    return {to_points, queries ? to_queries : at::Tensor(),
            call_tangent(points, queries, index, splits, moved, queries_moved), at::Tensor(), at::Tensor()};
  }
};

struct DistanceTangent : torch::autograd::Function<DistanceTangent> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& points, const MaybeTensor& queries,
                            const at::Tensor& points_tangent, const MaybeTensor& queries_tangent,
                            const at::Tensor& index, const MaybeTensor& splits) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({points, queries.value_or(at::Tensor()), points_tangent,
                                queries_tangent.value_or(at::Tensor()), index, splits.value_or(at::Tensor())});
    return call_tangent(points, queries, index, splits, points_tangent, queries_tangent);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& index = saved[4];
    const MaybeTensor queries = maybe(saved[1]), queries_moved = maybe(saved[3]), splits = maybe(saved[5]);
    const auto [to_points, to_queries] = call_gradient(saved[2], queries_moved, index, splits, gradients[0]);
    const auto [to_moved, to_queries_moved] = call_gradient(saved[0], queries, index, splits, gradients[0]);
    return {to_points,    queries ? to_queries : at::Tensor(),
            to_moved,     queries ? to_queries_moved : at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

/// In the type that distances have. Torch's own conversion carries the gradient back.
at::Tensor computed(const at::Tensor& rows) { return rows.to(compute_type(rows)); }
MaybeTensor computed(const MaybeTensor& rows) { return rows ? MaybeTensor(computed(*rows)) : std::nullopt; }

std::tuple<at::Tensor, at::Tensor> knn(const at::Tensor& points, c10::SymInt k, const MaybeTensor& row_splits,
                                       const MaybeTensor& queries, const MaybeTensor& query_row_splits, bool loop,
                                       std::optional<double> max_radius, const MaybeTensor& direction) {
  static const auto op =
      find<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, c10::SymInt, const MaybeTensor&, const MaybeTensor&,
                                              const MaybeTensor&, bool, std::optional<double>, const MaybeTensor&)>(
          "starling::knn");
  check("starling::knn", {points, row_splits, queries, query_row_splits, direction});
  check_k("starling::knn", k);
  check_max_radius("starling::knn", max_radius);
  auto result = Distances::apply(
      computed(points), computed(queries), [&](const at::Tensor& of_points, const MaybeTensor& of_queries) -> Lists {
        auto [index, distance2] =
            op.call(of_points, k, row_splits, of_queries, query_row_splits, loop, max_radius, direction);
        return {{}, std::move(index), std::move(distance2), {}};
      });
  return {result[0], result[1]};
}

WithinRadius radius(const at::Tensor& points, double radius, const MaybeTensor& row_splits, const MaybeTensor& queries,
                    const MaybeTensor& query_row_splits, bool loop, std::optional<std::int64_t> max_neighbors,
                    const MaybeTensor& direction) {
  static const auto op =
      find<WithinRadius(const at::Tensor&, double, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&, bool,
                        std::optional<std::int64_t>, const MaybeTensor&)>("starling::radius");
  check("starling::radius", {points, row_splits, queries, query_row_splits, direction});
  check_radius("starling::radius", radius, max_neighbors);
  auto result = Distances::apply(
      computed(points), computed(queries), [&](const at::Tensor& of_points, const MaybeTensor& of_queries) -> Lists {
        auto [splits, index, distance2, within] =
            op.call(of_points, radius, row_splits, of_queries, query_row_splits, loop, max_neighbors, direction);
        return {std::move(splits), std::move(index), std::move(distance2), std::move(within)};
      });
  return {result[0], result[1], result[2], result[3]};
}

std::tuple<at::Tensor, at::Tensor> distance_gradient(const at::Tensor& points, const MaybeTensor& queries,
                                                     const at::Tensor& index, const MaybeTensor& neighbor_row_splits,
                                                     const at::Tensor& weight) {
  auto result = DistanceGradient::apply(points, queries, weight, index, neighbor_row_splits);
  return {result[0], result[1]};
}

at::Tensor distance_tangent(const at::Tensor& points, const MaybeTensor& queries, const at::Tensor& index,
                            const MaybeTensor& neighbor_row_splits, const at::Tensor& points_tangent,
                            const MaybeTensor& queries_tangent) {
  return DistanceTangent::apply(points, queries, points_tangent, queries_tangent, index, neighbor_row_splits);
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("knn", TORCH_FN(knn));
  m.impl("radius", TORCH_FN(radius));
  m.impl("_distance_gradient", TORCH_FN(distance_gradient));
  m.impl("_distance_tangent", TORCH_FN(distance_tangent));
}

}  // namespace starling::ops
