#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cuda_runtime_api.h>
#include <torch/library.h>

#include "learn/ops/condensation_kernels.h"
#include "learn/ops/condense_kernels.h"
#include "learn/ops/edge_conv_kernels.h"
#include "learn/ops/edges_kernels.h"
#include "learn/ops/fake_quantization_kernels.h"
#include "learn/ops/gravnet_kernels.h"
#include "learn/ops/interaction_step_kernels.h"
#include "learn/ops/message_kernels.h"
#include "learn/ops/neighbor_gradient_kernels.h"
#include "learn/ops/neighbors_kernels.h"

namespace starling::ops {
namespace {

/// Runs the core on the current stream of the points' device. Only the core calls CUDA's runtime, but for one
/// question here; torch's CUDA libraries are not linked.
class Cuda {
 public:
  Cuda(const char* op, const at::Tensor& points) : op_(op), points_(points), guard_(on_device(op, points)) {
    const c10::impl::VirtualGuardImpl device(points.device().type());
    stream_ = static_cast<CUstream_st*>(device.getStream(points.device()).native_handle());
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    TORCH_CHECK(cudaStreamIsCapturing(stream_, &status) == cudaSuccess, op, ": the current stream is not usable");
    capturing_ = status != cudaStreamCaptureStatusNone;
  }
  bool capturing() const { return capturing_; }

  template <typename T>
  at::Tensor knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2) const {
    at::Tensor bad_row = make_bad_row();
    const Execution execution = on_stream(bad_row);
    const at::Tensor workspace = make_workspace(knn_workspace_bytes(search, k, execution), points_);
    starling::knn(search, k, index, distance2, bytes(workspace), execution);
    return bad_row;
  }

  template <typename T>
  std::pair<at::Tensor, at::Tensor> radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors,
                                                 std::int32_t* count, std::int32_t* within) const {
    at::Tensor bad_row = make_bad_row();
    const Execution execution = on_stream(bad_row);
    at::Tensor workspace = make_workspace(radius_workspace_bytes(search, execution), points_);
    starling::radius_count(search, max_neighbors, count, within, bytes(workspace), execution);
    return {std::move(workspace), std::move(bad_row)};
  }

  template <typename T>
  void radius_fill(const NeighborSearch<T>& search, const std::int64_t* splits, std::int32_t* index, T* distance2,
                   const at::Tensor& workspace) const {
    starling::radius_fill(search, splits, index, distance2, bytes(workspace), on_stream());
  }

  template <typename T>
  void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient,
                         T* queries_gradient) const {
    const at::Tensor workspace = make_workspace(distance_gradient_workspace_bytes(lists, on_stream()), points_);
    starling::distance_gradient(lists, weight, points_gradient, queries_gradient, bytes(workspace), on_stream());
  }

  template <typename T>
  void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent,
                        T* out) const {
    starling::distance_tangent(lists, points_tangent, queries_tangent, out, on_stream());
  }

  template <typename T, typename S>
  void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out) const {
    starling::aggregate(messages, out, on_stream());
  }

  /// The holders of lists, which lie in the tensor.
  std::pair<at::Tensor, Holders> find_holders(const Lists& lists) const {
    const Execution execution = on_stream();
    at::Tensor workspace = make_workspace(find_holders_workspace_bytes(lists, execution), points_);
    const Holders holders = starling::find_holders(lists, bytes(workspace), execution);
    return {std::move(workspace), holders};
  }

  template <typename T, typename S>
  void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, S* features_gradient,
                          T* weight_gradient) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(aggregate_gradient_workspace_bytes(messages, execution), points_);
    starling::aggregate_gradient(messages, gradients, features_gradient, weight_gradient, bytes(workspace), execution);
  }

  template <typename T>
  void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(edge_conv_workspace_bytes(conv, execution), points_);
    starling::edge_conv(conv, result, bytes(workspace), execution);
  }

  template <typename T>
  void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                          const EdgeConvGradients<T>& gradients) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(edge_conv_gradient_workspace_bytes(conv, execution), points_);
    starling::edge_conv_gradient(conv, out_gradient, kept, gradients, bytes(workspace), execution);
  }

  template <typename S>
  void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(interaction_step_workspace_bytes(step, execution), points_);
    starling::interaction_step(step, edges, nodes, bytes(workspace), execution);
  }

  template <typename S>
  void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                                 const S* nodes_gradient, const InteractionStepGradients<S>& gradients) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(interaction_step_gradient_workspace_bytes(step, execution), points_);
    starling::interaction_step_gradient(step, edges, edges_gradient, nodes_gradient, gradients, bytes(workspace),
                                        execution);
  }

  template <typename In, typename Out>
  void mlp_rows(const MlpRows<In, Out>& rows, Out* out) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(mlp_rows_workspace_bytes(rows, execution), points_);
    starling::mlp_rows(rows, out, bytes(workspace), execution);
  }

  template <typename In, typename Out>
  void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                         ParameterOf<Out>* parameters_gradient) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(mlp_rows_gradient_workspace_bytes(rows, execution), points_);
    starling::mlp_rows_gradient(rows, out_gradient, inputs_gradient, parameters_gradient, bytes(workspace), execution);
  }

  template <typename T>
  at::Tensor condensation_loss(const CondensationHits<T>& hits, const CondensationOptions& options,
                               const CondensationTerms<T>& terms) const {
    at::Tensor bad_row = make_bad_row();
    const Execution execution = on_stream(bad_row);
    const at::Tensor workspace = make_workspace(condensation_workspace_bytes(hits, options, execution), points_);
    starling::condensation_loss(hits, options, terms, bytes(workspace), execution);
    return bad_row;
  }

  template <typename T>
  void condensation_gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
                             const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(condensation_workspace_bytes(hits, options, execution), points_);
    starling::condensation_gradient(hits, options, gradients, out, bytes(workspace), execution);
  }

  template <typename T>
  at::Tensor condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out) const {
    at::Tensor bad_row = make_bad_row();
    const Execution execution = on_stream(bad_row);
    const at::Tensor workspace = make_workspace(condense_workspace_bytes(hits, options, execution), points_);
    starling::condense(hits, options, out, bytes(workspace), execution);
    return bad_row;
  }

  void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges) const {
    starling::gather_ends(ends, nodes, edges, on_stream());
  }
  void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes) const {
    starling::sum_ends(ends, edges, nodes, on_stream());
  }

  void fake_quantize(const FakeQuantization& quantization, float* values, float* scale) const {
    starling::fake_quantize(quantization, values, scale, on_stream());
  }
  void fake_quantize_gradient(const FakeQuantization& quantization, const float* values_gradient,
                              const float* scale_gradient, float* const (&parts_gradient)[kMaxQuantizedParts],
                              float* magnitude_gradient) const {
    const Execution execution = on_stream();
    const at::Tensor workspace =
        make_workspace(fake_quantize_gradient_workspace_bytes(quantization, execution), points_);
    starling::fake_quantize_gradient(quantization, values_gradient, scale_gradient, parts_gradient, magnitude_gradient,
                                     bytes(workspace), execution);
  }

  void quantize_rows(const QuantizedRows& rows, float* values, float* scale) const {
    starling::quantize_rows(rows, values, scale, on_stream());
  }
  void quantize_rows_gradient(const QuantizedRows& rows, const float* values_gradient, const float* scale_gradient,
                              const QuantizedRowsGradients& gradients) const {
    const Execution execution = on_stream();
    const at::Tensor workspace = make_workspace(quantize_rows_gradient_workspace_bytes(rows, execution), points_);
    starling::quantize_rows_gradient(rows, values_gradient, scale_gradient, gradients, bytes(workspace), execution);
  }

  void quantize_weights(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                        const float* parameters, float* values, float* scales) const {
    starling::quantize_weights(weights, per_channel, power_of_two, parameters, values, scales, on_stream());
  }
  void quantize_weights_gradient(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                                 const float* parameters, const float* values_gradient, const float* scales_gradient,
                                 float* gradient) const {
    starling::quantize_weights_gradient(weights, per_channel, power_of_two, parameters, values_gradient,
                                        scales_gradient, gradient, on_stream());
  }

  /// Waits for the stream, unless it is captured: then the row cannot be reported.
  std::int64_t read_bad_row(const at::Tensor& bad_row) const { return capturing_ ? -1 : bad_row.item<std::int32_t>(); }
  void check_bad_row(const at::Tensor& bad_row, std::int64_t num_points) const {
    if (!capturing_) throw_bad_row(bad_row.item<std::int32_t>(), num_points);
  }
  /// The same, and reads `edges` in the same copy.
  std::int64_t check_bad_row(const at::Tensor& bad_row, std::int64_t num_points, const at::Tensor& edges) const {
    const at::Tensor both = at::cat({bad_row.to(at::kLong), edges}).cpu();
    throw_bad_row(both.const_data_ptr<std::int64_t>()[0], num_points);
    return both.const_data_ptr<std::int64_t>()[1];
  }

 private:
  static at::Device on_device(const char* op, const at::Tensor& points) {
    TORCH_CHECK_VALUE(points.is_cuda(), op, ": points is on ", points.device(), ": expected cuda as the other tensors");
    return points.device();
  }
  Execution on_stream() const { return {.device = Device::cuda, .stream = stream_}; }
  Execution on_stream(const at::Tensor& bad_row) const {
    return {.device = Device::cuda, .stream = stream_, .bad_row = bad_row.mutable_data_ptr<std::int32_t>()};
  }
  at::Tensor make_bad_row() const { return at::empty({1}, points_.options().dtype(at::kInt)); }
  void throw_bad_row(std::int64_t bad_row, std::int64_t num_points) const {
    TORCH_CHECK_VALUE(bad_row < 0, op_, ": ", bad_row < num_points ? "points" : "queries", " row ",
                      bad_row < num_points ? bad_row : bad_row - num_points, " is not finite: expected finite numbers");
  }

  const char* op_;
  const at::Tensor& points_;
  c10::DeviceGuard guard_;
  CUstream_st* stream_ = nullptr;
  bool capturing_ = false;
};

}  // namespace

TORCH_LIBRARY_IMPL(starling, CUDA, m) {
  m.impl("knn", TORCH_FN(knn<Cuda>));
  m.impl("radius", TORCH_FN(radius<Cuda>));
  m.impl("_distance_gradient", TORCH_FN(distance_gradient<Cuda>));
  m.impl("_distance_tangent", TORCH_FN(distance_tangent<Cuda>));
  m.impl("aggregate", TORCH_FN(aggregate<Cuda>));
  m.impl("_aggregate_gradient", TORCH_FN(aggregate_gradient<Cuda>));
  m.impl("edge_conv", TORCH_FN(edge_conv<Cuda>));
  m.impl("_edge_conv_gradient", TORCH_FN(edge_conv_gradient<Cuda>));
  m.impl("gravnet", TORCH_FN(gravnet<Cuda>));
  m.impl("_gravnet_gradient", TORCH_FN(gravnet_gradient<Cuda>));
  m.impl("edges_of_nodes", TORCH_FN(edges_of_nodes<Cuda>));
  m.impl("interaction_step", TORCH_FN(interaction_step<Cuda>));
  m.impl("_interaction_step_gradient", TORCH_FN(interaction_step_gradient<Cuda>));
  m.impl("mlp_rows", TORCH_FN(mlp_rows<Cuda>));
  m.impl("_mlp_rows_gradient", TORCH_FN(mlp_rows_gradient<Cuda>));
  m.impl("condensation_loss", TORCH_FN(condensation_loss<Cuda>));
  m.impl("_condensation_gradient", TORCH_FN(condensation_gradient<Cuda>));
  m.impl("condense", TORCH_FN(condense<Cuda>));
  m.impl("check_edges", TORCH_FN(check_edges<Cuda>));
  m.impl("gather_ends", TORCH_FN(gather_ends<Cuda>));
  m.impl("sum_ends", TORCH_FN(sum_ends<Cuda>));
  m.impl("_quantize_values", TORCH_FN(fake_quantize_values<Cuda>));
  m.impl("_quantize_values_gradient", TORCH_FN(fake_quantize_values_gradient<Cuda>));
  m.impl("_quantize_rows", TORCH_FN(fake_quantize_rows<Cuda>));
  m.impl("_quantize_rows_gradient", TORCH_FN(fake_quantize_rows_gradient<Cuda>));
  m.impl("_quantize_weights", TORCH_FN(fake_quantize_weights<Cuda>));
  m.impl("_quantize_weights_gradient", TORCH_FN(fake_quantize_weights_gradient<Cuda>));
}

}  // namespace starling::ops
