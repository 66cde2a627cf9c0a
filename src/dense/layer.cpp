#include <map>

#include "starling/dense.h"
#include "starling/error.h"

namespace starling {
namespace {

const std::map<std::string, Norm> kNorms = {{"none", Norm::none}, {"layer", Norm::layer}, {"batch", Norm::batch}};

const std::map<std::string, NumberType> kNumberTypes = {
    {"float32", NumberType::float32}, {"half", NumberType::half}, {"bfloat16", NumberType::bfloat16}};

}  // namespace

NumberType parse_number_type(const std::string& name) {
  const auto place = kNumberTypes.find(name);
  if (place != kNumberTypes.end()) return place->second;
  throw Error(ErrorKind::usage, "number type '" + name + "': expected float32, half or bfloat16");
}

std::string to_string(NumberType type) {
  for (const auto& [name, value] : kNumberTypes) {
    if (value == type) return name;
  }
  throw Error(ErrorKind::usage,
              "number type " + std::to_string(static_cast<int>(type)) + ": expected float32, half or bfloat16");
}

Norm parse_norm(const std::string& name) {
  const auto place = kNorms.find(name);
  if (place != kNorms.end()) return place->second;
  throw Error(ErrorKind::usage, "normalisation '" + name + "': expected none, layer or batch");
}

std::string to_string(Norm norm) {
  for (const auto& [name, value] : kNorms) {
    if (value == norm) return name;
  }
  throw Error(ErrorKind::usage,
              "normalisation " + std::to_string(static_cast<int>(norm)) + ": expected none, layer or batch");
}

std::int64_t ArrayShape::count() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

std::vector<ArrayShape> arrays(const DenseLayer& layer) {
  std::vector<ArrayShape> all = {{layer.name + ".weight", {layer.out, layer.in}}};
  if (layer.bias) all.push_back({layer.name + ".bias", {layer.out}});
  if (layer.norm == Norm::batch) {
    all.push_back({layer.name + ".norm_weight", {layer.out}});
    all.push_back({layer.name + ".norm_bias", {layer.out}});
  }
  return all;
}

std::vector<ArrayShape> arrays(const std::vector<DenseLayer>& layers) {
  std::vector<ArrayShape> all;
  for (const DenseLayer& layer : layers) {
    for (ArrayShape& array : arrays(layer)) all.push_back(std::move(array));
  }
  return all;
}

std::int64_t parameter_count(const DenseLayer& layer) {
  std::int64_t count = 0;
  for (const ArrayShape& array : arrays(layer)) count += array.count();
  return count;
}

}  // namespace starling
