#include <ATen/Parallel.h>
#include <tbb/task_arena.h>
#include <torch/library.h>

#include "learn/ops/condensation_kernels.h"
#include "learn/ops/condense_kernels.h"
#include "learn/ops/edge_conv_kernels.h"
#include "learn/ops/edges_kernels.h"
#include "learn/ops/gravnet_kernels.h"
#include "learn/ops/interaction_step_kernels.h"
#include "learn/ops/message_kernels.h"
#include "learn/ops/neighbor_gradient_kernels.h"
#include "learn/ops/neighbors_kernels.h"

namespace starling::ops {
namespace {

/// Runs the core on the host, in an arena of as many threads as torch is set to.
class Host {
 public:
  Host(const char* op, const at::Tensor& points) : points_(points) {
    TORCH_CHECK_VALUE(points.is_cpu(), op, ": points is on ", points.device(), ": expected cpu as the other tensors");
  }
  bool capturing() const { return false; }

  template <typename T>
  at::Tensor knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2) const {
    const at::Tensor workspace = make_workspace(knn_workspace_bytes(search, k), points_);
    in_arena([&] { starling::knn(search, k, index, distance2, bytes(workspace)); });
    return {};
  }

  template <typename T>
  std::pair<at::Tensor, at::Tensor> radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors,
                                                 std::int32_t* count, std::int32_t* within) const {
    at::Tensor workspace = make_workspace(radius_workspace_bytes(search), points_);
    in_arena([&] { starling::radius_count(search, max_neighbors, count, within, bytes(workspace)); });
    return {std::move(workspace), at::Tensor()};
  }

  template <typename T>
  void radius_fill(const NeighborSearch<T>& search, const std::int64_t* splits, std::int32_t* index, T* distance2,
                   const at::Tensor& workspace) const {
    in_arena([&] { starling::radius_fill(search, splits, index, distance2, bytes(workspace)); });
  }

  template <typename T>
  void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient,
                         T* queries_gradient) const {
    const at::Tensor workspace = make_workspace(distance_gradient_workspace_bytes(lists), points_);
    in_arena([&] { starling::distance_gradient(lists, weight, points_gradient, queries_gradient, bytes(workspace)); });
  }

  template <typename T>
  void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent,
                        T* out) const {
    in_arena([&] { starling::distance_tangent(lists, points_tangent, queries_tangent, out); });
  }

  template <typename T, typename S>
  void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out) const {
    in_arena([&] { starling::aggregate(messages, out); });
  }

  /// The holders of lists, which lie in the tensor.
  std::pair<at::Tensor, Holders> find_holders(const Lists& lists) const {
    at::Tensor workspace = make_workspace(find_holders_workspace_bytes(lists), points_);
    Holders holders;
    in_arena([&] { holders = starling::find_holders(lists, bytes(workspace)); });
    return {std::move(workspace), holders};
  }

  template <typename T, typename S>
  void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, S* features_gradient,
                          T* weight_gradient) const {
    const at::Tensor workspace = make_workspace(aggregate_gradient_workspace_bytes(messages), points_);
    in_arena([&] {
      starling::aggregate_gradient(messages, gradients, features_gradient, weight_gradient, bytes(workspace));
    });
  }

  template <typename T>
  void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result) const {
    const at::Tensor workspace = make_workspace(edge_conv_workspace_bytes(conv), points_);
    in_arena([&] { starling::edge_conv(conv, result, bytes(workspace)); });
  }

  template <typename T>
  void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                          const EdgeConvGradients<T>& gradients) const {
    const at::Tensor workspace = make_workspace(edge_conv_gradient_workspace_bytes(conv), points_);
    in_arena([&] { starling::edge_conv_gradient(conv, out_gradient, kept, gradients, bytes(workspace)); });
  }

  template <typename S>
  void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes) const {
    starling::interaction_step(step, edges, nodes, {});
  }

  template <typename S>
  void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                                 const S* nodes_gradient, const InteractionStepGradients<S>& gradients) const {
    starling::interaction_step_gradient(step, edges, edges_gradient, nodes_gradient, gradients, {});
  }

  template <typename In, typename Out>
  void mlp_rows(const MlpRows<In, Out>& rows, Out* out) const {
    starling::mlp_rows(rows, out, {});
  }

  template <typename In, typename Out>
  void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                         ParameterOf<Out>* parameters_gradient) const {
    starling::mlp_rows_gradient(rows, out_gradient, inputs_gradient, parameters_gradient, {});
  }

  void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges) const {
    starling::gather_ends(ends, nodes, edges);
  }
  void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes) const {
    starling::sum_ends(ends, edges, nodes);
  }

  template <typename T>
  at::Tensor condensation_loss(const CondensationHits<T>& hits, const CondensationOptions& options,
                               const CondensationTerms<T>& terms) const {
    const at::Tensor workspace = make_workspace(condensation_workspace_bytes(hits, options), points_);
    in_arena([&] { starling::condensation_loss(hits, options, terms, bytes(workspace)); });
    return {};
  }

  template <typename T>
  void condensation_gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
                             const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out) const {
    const at::Tensor workspace = make_workspace(condensation_workspace_bytes(hits, options), points_);
    in_arena([&] { starling::condensation_gradient(hits, options, gradients, out, bytes(workspace)); });
  }

  template <typename T>
  at::Tensor condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out) const {
    const at::Tensor workspace = make_workspace(condense_workspace_bytes(hits, options), points_);
    in_arena([&] { starling::condense(hits, options, out, bytes(workspace)); });
    return {};
  }

  /// The core has thrown already.
  std::int64_t read_bad_row(const at::Tensor&) const { return -1; }
  void check_bad_row(const at::Tensor&, std::int64_t) const {}
  std::int64_t check_bad_row(const at::Tensor&, std::int64_t, const at::Tensor& edges) const {
    return *edges.const_data_ptr<std::int64_t>();
  }

 private:
  template <typename Call>
  static void in_arena(const Call& call) {
    tbb::task_arena(at::get_num_threads()).execute(call);
  }

  const at::Tensor& points_;
};

}  // namespace

TORCH_LIBRARY_IMPL(starling, CPU, m) {
  m.impl("knn", TORCH_FN(knn<Host>));
  m.impl("radius", TORCH_FN(radius<Host>));
  m.impl("_distance_gradient", TORCH_FN(distance_gradient<Host>));
  m.impl("_distance_tangent", TORCH_FN(distance_tangent<Host>));
  m.impl("aggregate", TORCH_FN(aggregate<Host>));
  m.impl("_aggregate_gradient", TORCH_FN(aggregate_gradient<Host>));
  m.impl("edge_conv", TORCH_FN(edge_conv<Host>));
  m.impl("_edge_conv_gradient", TORCH_FN(edge_conv_gradient<Host>));
  m.impl("gravnet", TORCH_FN(gravnet<Host>));
  m.impl("_gravnet_gradient", TORCH_FN(gravnet_gradient<Host>));
  m.impl("edges_of_nodes", TORCH_FN(edges_of_nodes<Host>));
  m.impl("interaction_step", TORCH_FN(interaction_step<Host>));
  m.impl("_interaction_step_gradient", TORCH_FN(interaction_step_gradient<Host>));
  m.impl("mlp_rows", TORCH_FN(mlp_rows<Host>));
  m.impl("_mlp_rows_gradient", TORCH_FN(mlp_rows_gradient<Host>));
  m.impl("condensation_loss", TORCH_FN(condensation_loss<Host>));
  m.impl("_condensation_gradient", TORCH_FN(condensation_gradient<Host>));
  m.impl("condense", TORCH_FN(condense<Host>));
  m.impl("check_edges", TORCH_FN(check_edges<Host>));
  m.impl("gather_ends", TORCH_FN(gather_ends<Host>));
  m.impl("sum_ends", TORCH_FN(sum_ends<Host>));
}

}  // namespace starling::ops
