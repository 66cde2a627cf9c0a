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

std::pair<Tensor, Tensor> quantize_activation(const Tensor& x, const Tensor& threshold, int bits, bool is_signed,
                                              bool powers_of_two) {
  static const auto op = find<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, std::int64_t, bool, bool, bool)>(
      "starling::quantize_activation");
  auto [values, scale] = op.call(x, threshold, bits, is_signed, powers_of_two, /*bound_scale=*/false);
  return {std::move(values), std::move(scale)};
}

std::pair<Tensor, Tensor> quantize_parts(const std::vector<Tensor>& parts, const Tensor& threshold, int bits,
                                         bool powers_of_two) {
  static const auto op =
      find<std::tuple<Tensor, Tensor>(at::TensorList, const Tensor&, std::int64_t, bool)>("starling::quantize_parts");
  auto [values, scale] = op.call(parts, threshold, bits, powers_of_two);
  return {std::move(values), std::move(scale)};
}

std::pair<Tensor, Tensor> quantize_weights(const Tensor& parameters, const std::vector<std::int64_t>& sizes,
                                           const std::vector<std::int64_t>& outputs,
                                           const std::vector<std::int64_t>& bits, bool per_channel,
                                           bool powers_of_two) {
  static const auto op =
      find<std::tuple<Tensor, Tensor>(const Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, bool, bool)>(
          "starling::quantize_weights");
  auto [values, scales] = op.call(parameters, sizes, outputs, bits, per_channel, powers_of_two);
  return {std::move(values), std::move(scales)};
}

Tensor gather_ends(const Tensor& nodes, const Ends& ends) {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, const Tensor&, at::TensorList)>("starling::gather_ends");
  return op.call(nodes, ends.first, ends.second, ends.lists);
}

Tensor sum_ends(const Tensor& edges, const Ends& ends) {
  static const auto op =
      find<Tensor(const Tensor&, const Tensor&, const Tensor&, at::TensorList)>("starling::sum_ends");
  return op.call(edges, ends.first, ends.second, ends.lists);
}

std::pair<Tensor, Tensor> quantize_rows(const LayerRows& rows, const Tensor& threshold, int bits, bool powers_of_two) {
  static const auto op = find<std::tuple<Tensor, Tensor>(
      const Tensor&, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&, std::int64_t, const MaybeTensor&,
      const MaybeTensor&, const MaybeTensor&, at::TensorList, bool, const Tensor&, std::int64_t, bool)>(
      "starling::quantize_rows");
  auto [values, scale] = op.call(rows.sums, maybe(rows.bias), maybe(rows.weight_scale), maybe(rows.input_scale),
                                 rows.bias_bits, maybe(rows.nodes), maybe(rows.ends.first), maybe(rows.ends.second),
                                 rows.ends.lists, rows.norm, threshold, bits, powers_of_two);
  return {std::move(values), std::move(scale)};
}

Tensor quantize_bias(const Tensor& bias, const Tensor& scale, int bits) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, std::int64_t)>("starling::quantize_bias");
  return op.call(bias, scale, bits);
}

Tensor calibrated_threshold(const Tensor& x, double percentile) {
  static const auto op = find<Tensor(const Tensor&, double)>("starling::calibrated_threshold");
  return op.call(x, percentile);
}

std::vector<Tensor> prune_smallest(const std::vector<Tensor>& weights, const std::vector<Tensor>& masks, double amount,
                                   const std::vector<double>& floors, int block) {
  static const auto op = find<std::vector<Tensor>(at::TensorList, at::TensorList, double, c10::ArrayRef<double>,
                                                  std::int64_t, std::int64_t)>("starling::prune");
  return op.call(weights, masks, amount, floors, /*block_outputs=*/1, block);
}

Tensor prune_2_of_4(const Tensor& weight, const Tensor& mask) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&)>("starling::prune_2_of_4");
  return op.call(weight, mask);
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
