#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include "learn/ops/autograd.h"

// Gradients reach coordinates through d² alone. With B(x, g) the gradient of Σ g d² at x and T(x, u) the change of d²
// along u, <u, B(x, g)> has the derivatives T(x, u) along g and B(u, g) along x, and <h, T(x, u)> has B(u, h) along x
// and B(x, h) along u: derivatives of every order, backward and forward, are made of these two.
namespace starling::ops {
namespace {

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

/// distance2 of the lists: saved are points, queries, index, neighbor_row_splits.
struct DistanceBackward : SavingNode {
  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined()) return {{}, {}};
    const variable_list tensors = saved();
    auto [points_gradient, queries_gradient] =
        call_gradient(tensors[0], maybe(tensors, 1), tensors[2], maybe(tensors, 3), gradients[0]);
    return {std::move(points_gradient), tensors[1].defined() ? std::move(queries_gradient) : at::Tensor()};
  }
};

/// B: saved are points, queries, index, neighbor_row_splits, weight; gradients go to points, queries, weight.
struct DistanceGradientBackward : SavingNode {
  variable_list apply(variable_list&& gradients) override {
    const variable_list tensors = saved();
    const at::Tensor &points = tensors[0], &index = tensors[2], &weight = tensors[4];
    const MaybeTensor queries = maybe(tensors, 1), splits = maybe(tensors, 3);
    const at::Tensor moved = or_zeros(gradients[0], points);
    const MaybeTensor queries_moved = queries ? MaybeTensor(or_zeros(gradients[1], *queries)) : std::nullopt;
    variable_list result(3);
    if (task_should_compute_output(0) || task_should_compute_output(1)) {
      std::tie(result[0], result[1]) = call_gradient(moved, queries_moved, index, splits, weight);
      if (!queries) result[1] = at::Tensor();
    }
    if (task_should_compute_output(2)) result[2] = call_tangent(points, queries, index, splits, moved, queries_moved);
    return result;
  }
};

/// T: saved are points, queries, index, neighbor_row_splits, points_tangent, queries_tangent; gradients go to points,
/// queries and the two tangents.
struct DistanceTangentBackward : SavingNode {
  variable_list apply(variable_list&& gradients) override {
    if (!gradients[0].defined()) return variable_list(4);
    const variable_list tensors = saved();
    const at::Tensor& index = tensors[2];
    const MaybeTensor queries = maybe(tensors, 1), splits = maybe(tensors, 3), queries_moved = maybe(tensors, 5);
    variable_list result(4);
    if (task_should_compute_output(0) || task_should_compute_output(1))
      std::tie(result[0], result[1]) = call_gradient(tensors[4], queries_moved, index, splits, gradients[0]);
    if (task_should_compute_output(2) || task_should_compute_output(3))
      std::tie(result[2], result[3]) = call_gradient(tensors[0], queries, index, splits, gradients[0]);
    if (!queries) result[1] = result[3] = at::Tensor();
    return result;
  }
};

/// Lists of neighbours with their distances; neighbor_row_splits and within are undefined for [M, k].
struct Lists {
  at::Tensor neighbor_row_splits, index, distance2, within;
};

/// Makes distance2 differentiable in points and queries.
void differentiate(const at::Tensor& points, const MaybeTensor& queries, const Lists& lists) {
  if (compute_requires_grad(points, queries)) {
    const at::Tensor of_queries = value_or_undefined(queries);
    set_history(lists.distance2, make_node<DistanceBackward>({points, of_queries}, {points, of_queries, lists.index,
                                                                                    lists.neighbor_row_splits}));
  }
  if (moves(points) || moves(queries)) {
    const MaybeTensor splits =
        lists.neighbor_row_splits.defined() ? MaybeTensor(lists.neighbor_row_splits) : std::nullopt;
    set_tangent(lists.distance2,
                call_tangent(primal(points), primal(queries), lists.index, splits, tangent(points), tangent(queries)));
  }
}

std::tuple<at::Tensor, at::Tensor> knn(const at::Tensor& points, c10::SymInt k, const MaybeTensor& row_splits,
                                       const MaybeTensor& queries, const MaybeTensor& query_row_splits, bool loop,
                                       std::optional<double> max_radius, const MaybeTensor& direction) {
  static const auto op =
      find<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, c10::SymInt, const MaybeTensor&, const MaybeTensor&,
                                              const MaybeTensor&, bool, std::optional<double>, const MaybeTensor&)>(
          "starling::knn");
  check("starling::knn", {points, row_splits, queries, query_row_splits, direction, loop});
  check_k("starling::knn", k);
  check_max_radius("starling::knn", max_radius);
  const at::Tensor of_points = computed(points);
  const MaybeTensor of_queries = computed(queries);
  Lists lists;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(lists.index, lists.distance2) =
        op.call(of_points, k, row_splits, of_queries, query_row_splits, loop, max_radius, direction);
  }
  differentiate(of_points, of_queries, lists);
  return {std::move(lists.index), std::move(lists.distance2)};
}

WithinRadius radius(const at::Tensor& points, double radius, const MaybeTensor& row_splits, const MaybeTensor& queries,
                    const MaybeTensor& query_row_splits, bool loop, std::optional<std::int64_t> max_neighbors,
                    const MaybeTensor& direction) {
  static const auto op =
      find<WithinRadius(const at::Tensor&, double, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&, bool,
                        std::optional<std::int64_t>, const MaybeTensor&)>("starling::radius");
  check("starling::radius", {points, row_splits, queries, query_row_splits, direction, loop});
  check_radius("starling::radius", radius, max_neighbors);
  const at::Tensor of_points = computed(points);
  const MaybeTensor of_queries = computed(queries);
  Lists lists;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(lists.neighbor_row_splits, lists.index, lists.distance2, lists.within) =
        op.call(of_points, radius, row_splits, of_queries, query_row_splits, loop, max_neighbors, direction);
  }
  differentiate(of_points, of_queries, lists);
  return {std::move(lists.neighbor_row_splits), std::move(lists.index), std::move(lists.distance2),
          std::move(lists.within)};
}

std::tuple<at::Tensor, at::Tensor> distance_gradient(const at::Tensor& points, const MaybeTensor& queries,
                                                     const at::Tensor& index, const MaybeTensor& splits,
                                                     const at::Tensor& weight) {
  at::Tensor points_gradient, queries_gradient;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::tie(points_gradient, queries_gradient) = call_gradient(points, queries, index, splits, weight);
  }
  if (compute_requires_grad(points, queries, weight)) {
    const at::Tensor of_queries = value_or_undefined(queries);
    const auto node = make_node<DistanceGradientBackward>(
        {points, of_queries, weight}, {points, of_queries, index, value_or_undefined(splits), weight});
    set_history(points_gradient, node);
    if (queries) set_history(queries_gradient, node);
  }
  variable_list moved(2);
  const auto add = [&](const std::tuple<at::Tensor, at::Tensor>& term) {
    const auto& [to_points, to_queries] = term;
    moved = moved[0].defined() ? variable_list{moved[0] + to_points, moved[1] + to_queries}
                               : variable_list{to_points, to_queries};
  };
  if (moves(points) || moves(queries))
    add(call_gradient(tangent(points), tangent(queries), index, splits, primal(weight)));
  if (moves(weight)) add(call_gradient(primal(points), primal(queries), index, splits, tangent(weight)));
  if (moved[0].defined()) {
    set_tangent(points_gradient, moved[0]);
    if (queries) set_tangent(queries_gradient, moved[1]);
  }
  return {std::move(points_gradient), std::move(queries_gradient)};
}

at::Tensor distance_tangent(const at::Tensor& points, const MaybeTensor& queries, const at::Tensor& index,
                            const MaybeTensor& splits, const at::Tensor& points_tangent,
                            const MaybeTensor& queries_tangent) {
  at::Tensor result;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    result = call_tangent(points, queries, index, splits, points_tangent, queries_tangent);
  }
  if (compute_requires_grad(points, queries, points_tangent, queries_tangent)) {
    const at::Tensor of_queries = value_or_undefined(queries), queries_moved = value_or_undefined(queries_tangent);
    set_history(result, make_node<DistanceTangentBackward>(
                            {points, of_queries, points_tangent, queries_moved},
                            {points, of_queries, index, value_or_undefined(splits), points_tangent, queries_moved}));
  }
  at::Tensor moved;
  const auto add = [&](const at::Tensor& term) { moved = moved.defined() ? moved + term : term; };
  if (moves(points) || moves(queries))
    add(call_tangent(tangent(points), tangent(queries), index, splits, primal(points_tangent),
                     primal(queries_tangent)));
  if (moves(points_tangent) || moves(queries_tangent))
    add(call_tangent(primal(points), primal(queries), index, splits, tangent(points_tangent),
                     tangent(queries_tangent)));
  if (moved.defined()) set_tangent(result, moved);
  return result;
}

}  // namespace

at::Tensor distances_of(const at::Tensor& points, const at::Tensor& index, const at::Tensor& distance2) {
  Lists lists;
  lists.index = index;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    lists.distance2 = distance2.detach();
  }
  differentiate(points, std::nullopt, lists);
  return lists.distance2;
}

TORCH_LIBRARY_IMPL(starling, Autograd, m) {
  m.impl("knn", TORCH_FN(knn));
  m.impl("radius", TORCH_FN(radius));
  m.impl("_distance_gradient", TORCH_FN(distance_gradient));
  m.impl("_distance_tangent", TORCH_FN(distance_tangent));
}

}  // namespace starling::ops
