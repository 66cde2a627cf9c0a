#include "learn/nn/operators.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <string_view>
#include <tuple>

namespace starling::learn {
namespace {

using torch::Tensor;
using MaybeTensor = std::optional<Tensor>;

template <class Signature>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

MaybeTensor maybe(const Tensor& tensor) { return tensor.defined() ? MaybeTensor(tensor) : std::nullopt; }

}  // namespace

Tensor gather_rows(const Tensor& rows, const Tensor& index) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&)>("starling::gather_rows");
  return op.call(rows, index);
}

Tensor sum_rows(const Tensor& rows, const Tensor& index, std::int64_t count) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, c10::SymInt)>("starling::sum_rows");
  return op.call(rows, index, count);
}

std::pair<Tensor, Tensor> edges_of_nodes(const Tensor& ends, std::int64_t num_nodes) {
  static const auto op = find<std::tuple<Tensor, Tensor>(const Tensor&, c10::SymInt)>("starling::edges_of_nodes");
  auto [begin, edge] = op.call(ends, num_nodes);
  return {std::move(begin), std::move(edge)};
}

std::pair<Tensor, Tensor> interaction_step(const StepInputs& inputs) {
  static const auto op =
      find<std::tuple<Tensor, Tensor>(const Tensor&, const MaybeTensor&, const Tensor&, const MaybeTensor&,
                                      const Tensor&, const Tensor&, at::TensorList, const Tensor&, const MaybeTensor&,
                                      bool, bool, std::optional<bool>)>("starling::interaction_step");
  auto [edges, nodes] =
      op.call(inputs.x, maybe(inputs.x0), inputs.e, maybe(inputs.e0), inputs.src, inputs.dst, inputs.lists,
              inputs.edge_parameters, maybe(inputs.node_parameters), inputs.bias, inputs.norm, /*tf32=*/std::nullopt);
  return {std::move(edges), std::move(nodes)};
}

Tensor mlp_rows(const Tensor& inputs, const Tensor& parameters, const MlpShape& shape, torch::ScalarType type) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, std::int64_t, std::int64_t, std::int64_t, bool, bool,
                                     bool, std::optional<at::ScalarType>, std::optional<bool>)>("starling::mlp_rows");
  return op.call(inputs, parameters, shape.hidden, shape.outputs, shape.layers, shape.bias, shape.norm, shape.relu,
                 type, /*tf32=*/std::nullopt);
}

Tensor gravnet(const Tensor& space, const Tensor& features, int k, const Tensor& row_splits, double factor,
               bool subtract) {
  static const auto op = find<std::tuple<Tensor, Tensor, Tensor, Tensor>(
      const Tensor&, const Tensor&, c10::SymInt, const MaybeTensor&, double, bool, bool, bool)>("starling::gravnet");
  return std::get<0>(
      op.call(space, features, k, row_splits, factor, /*loop=*/true, /*absent_is_zero=*/false, subtract));
}

CondensationTensors condensation_loss(const CondensationInputs& inputs, const std::string& form, double q_min) {
  static const auto op = find<std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>(
      const Tensor&, const Tensor&, const Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
      const MaybeTensor&, std::string_view, bool, double, double, std::string_view, bool)>(
      "starling::condensation_loss");
  auto [attraction, repulsion, objects, noise, payload] =
      op.call(inputs.beta, inputs.x, inputs.truth, inputs.splits, inputs.scale, inputs.weight, inputs.payload, form,
              /*soft=*/form == "fgc", q_min, /*centre=*/0., "mean", /*payload_per_event=*/false);
  return {std::move(attraction), std::move(repulsion), std::move(objects), std::move(noise), std::move(payload)};
}

}  // namespace starling::learn
