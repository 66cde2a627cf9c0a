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

}  // namespace

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
