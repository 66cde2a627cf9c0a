#include "dense/weights.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "json/section.h"

namespace starling::dense {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) { return nlohmann::json(shape).dump(); }

}  // namespace

void check_weights(const Weights& weights, const std::vector<DenseLayer>& layers, ErrorKind kind,
                   const std::string& where) {
  std::set<std::string> known;
  for (const ArrayShape& array : arrays(layers)) {
    known.insert(array.name);
    const auto found = weights.find(array.name);
    if (found == weights.end()) throw Error(kind, where + "tensor " + array.name + " is missing");
    if (static_cast<std::int64_t>(found->second.size()) != array.count()) {
      throw Error(kind, where + "tensor " + array.name + " has " + std::to_string(found->second.size()) +
                            " values, expected " + std::to_string(array.count()));
    }
    const auto wrong =
        std::find_if(found->second.begin(), found->second.end(), [](float w) { return !std::isfinite(w); });
    if (wrong != found->second.end()) {
      throw Error(kind, where + "tensor " + array.name + ", value " + std::to_string(wrong - found->second.begin()) +
                            " is " + std::to_string(*wrong) + ", expected a finite number");
    }
  }
  for (const auto& [name, unused] : weights) {
    if (!known.contains(name)) {
      throw Error(kind, where + "tensor " + json::quoted(name) + " is not part of the architecture");
    }
  }
}

void weights_to_model(const Weights& weights, const std::vector<DenseLayer>& layers, Model& model) {
  check_weights(weights, layers, ErrorKind::usage, "");
  for (const ArrayShape& array : arrays(layers)) {
    model.content.tensors[array.name] = Tensor::of(weights.at(array.name), array.shape);
  }
}

Weights weights_from_model(const Model& model, const std::vector<DenseLayer>& layers) {
  const std::string where = model.content.name + ": ";
  Weights weights;
  for (const ArrayShape& array : arrays(layers)) {
    const auto found = model.content.tensors.find(array.name);
    if (found == model.content.tensors.end()) {
      throw Error(ErrorKind::input, where + "tensor " + array.name + " is missing");
    }
    const Tensor& tensor = found->second;
    if (tensor.shape != array.shape) {
      throw Error(ErrorKind::input, where + "tensor " + array.name + " has the shape " + shape_text(tensor.shape) +
                                        ", expected " + shape_text(array.shape));
    }
    if (tensor.type != Tensor::Type::f32) {
      throw Error(ErrorKind::input, where + "tensor " + array.name + " is not F32");
    }
    weights[array.name] = tensor.f32();
  }
  check_weights(weights, layers, ErrorKind::input, where);
  return weights;
}

}  // namespace starling::dense
