#include <ATen/Functions.h>
#include <torch/library.h>

#include <cstring>
#include <string>

#include "learn/ops/operands.h"
#include "starling/interaction_network.h"
#include "starling/model.h"
#include "starling/quantized_network.h"
#include "starling/track_finder.h"

// Model files, for Python: only here are they read, checked and written.
namespace starling::ops {
namespace {

using Texts = c10::Dict<std::string, std::string>;
using Arrays = c10::Dict<std::string, at::Tensor>;

struct TypeName {
  Tensor::Type file;
  at::ScalarType torch;
};
constexpr TypeName kTypes[] = {
    {Tensor::Type::f32, at::kFloat},     {Tensor::Type::f64, at::kDouble}, {Tensor::Type::f16, at::kHalf},
    {Tensor::Type::bf16, at::kBFloat16}, {Tensor::Type::i32, at::kInt},    {Tensor::Type::i64, at::kLong},
    {Tensor::Type::i16, at::kShort},     {Tensor::Type::i8, at::kChar},    {Tensor::Type::u8, at::kByte},
    {Tensor::Type::boolean, at::kBool},
};

at::Tensor to_torch(const Tensor& array) {
  if (array.type == Tensor::Type::i4 || array.type == Tensor::Type::i2) {
    at::Tensor codes = at::empty(array.shape, at::kChar);
    const std::vector<std::int8_t> values = array.codes();
    std::memcpy(codes.mutable_data_ptr(), values.data(), values.size());
    return codes;
  }
  for (const TypeName& type : kTypes) {
    if (type.file != array.type) continue;
    at::Tensor values = at::empty(array.shape, type.torch);
    if (!array.bytes.empty()) std::memcpy(values.mutable_data_ptr(), array.bytes.data(), array.bytes.size());
    return values;
  }
  throw Error(ErrorKind::internal, "an array of an unknown type");
}

Tensor from_torch(const std::string& name, const at::Tensor& values) {
  for (const TypeName& type : kTypes) {
    if (type.torch != values.scalar_type()) continue;
    const at::Tensor here = values.detach().cpu().contiguous();
    Tensor array{.type = type.file, .shape = here.sizes().vec(), .bytes = std::vector<std::byte>(here.nbytes())};
    if (!array.bytes.empty()) std::memcpy(array.bytes.data(), here.const_data_ptr(), array.bytes.size());
    return array;
  }
  throw Error(ErrorKind::usage,
              "array " + name + " is " + toString(values.scalar_type()) + ", expected a type that a model file has");
}

/// Throws where the file is not what its kind says.
void check_kind(const Model& model) {
  if (model.kind == "interaction_network" && QuantizedNetwork::is_in(model)) {
    QuantizedNetwork::from_model(model);
  } else if (model.kind == "interaction_network") {
    InteractionNetwork::from_model(model);
  } else if (model.kind.empty() || model.kind == "tracking") {
    TrackFinder::from_model(model);
  } else {
    throw Error(ErrorKind::input, model.content.name + ": kind = \"" + model.kind +
                                      "\", expected \"tracking\" or \"interaction_network\"");
  }
}

std::tuple<std::string, Texts, Arrays> read_network(const std::string& file) {
  return translating_errors("starling::_read_network", [&] {
    const Model model = Model::load(file);
    check_kind(model);
    Texts sections;
    for (const auto& [name, text] : model.content.metadata) sections.insert(name, text);
    Arrays arrays;
    for (const auto& [name, array] : model.content.tensors) arrays.insert(name, to_torch(array));
    return std::tuple(model.kind.empty() ? "tracking" : model.kind, std::move(sections), std::move(arrays));
  });
}

Model make_model(const std::string& file, const std::string& kind, const Texts& sections, const Arrays& arrays) {
  Model model;
  model.kind = kind;
  model.content.name = file;
  for (const auto& section : sections) model.content.metadata[section.key()] = section.value();
  for (const auto& array : arrays) model.content.tensors[array.key()] = from_torch(array.key(), array.value());
  return model;
}

void write_network(const std::string& file, const std::string& kind, const Texts& sections, const Arrays& arrays) {
  translating_errors("starling::_write_network", [&] {
    const Model model = make_model(file, kind, sections, arrays);
    check_kind(model);
    model.save(file);
  });
}

std::vector<std::uint8_t> mask_of(const Arrays& masks, const std::string& layer) {
  if (!masks.contains(layer)) return {};
  const at::Tensor mask = masks.at(layer).cpu().to(at::kByte).contiguous();
  return {mask.const_data_ptr<std::uint8_t>(), mask.const_data_ptr<std::uint8_t>() + mask.numel()};
}

template <typename Value>
Value at(const c10::Dict<std::string, Value>& values, const std::string& name) {
  if (!values.contains(name)) throw Error(ErrorKind::usage, name + ": is missing");
  return values.at(name);
}

// `bits` and `thresholds` are named "<layer>.weight", "<layer>.bias", "<layer>.output" and "<mlp>.input".
void write_quantized_network(const std::string& file, const std::string& kind, const Texts& sections,
                             const Arrays& arrays, const Arrays& masks,
                             const c10::Dict<std::string, std::int64_t>& bits,
                             const c10::Dict<std::string, double>& thresholds, bool per_channel, bool powers_of_two) {
  translating_errors("starling::_write_quantized_network", [&] {
    Model model = make_model(file, kind, sections, arrays);
    const InteractionNetwork network = InteractionNetwork::from_model(model);
    const auto bits_of = [&](const std::string& name) { return static_cast<int>(at(bits, name)); };
    const auto threshold_of = [&](const std::string& name) { return static_cast<float>(at(thresholds, name)); };
    LearnedQuantization learned;
    learned.powers_of_two = powers_of_two;
    for (const std::string& mlp : mlps(network.shape)) {
      learned.inputs[mlp] = {bits_of(mlp + ".input"), threshold_of(mlp + ".input")};
    }
    for (const DenseLayer& dense : layers(network.shape)) {
      LearnedQuantization::Layer& layer = learned.layers[dense.name];
      layer.weight_bits = bits_of(dense.name + ".weight");
      if (dense.bias) layer.bias_bits = bits_of(dense.name + ".bias");
      layer.per_channel = per_channel;
      layer.kept = mask_of(masks, dense.name);
      if (!dense.relu) continue;
      layer.output_bits = bits_of(dense.name + ".output");
      layer.threshold = threshold_of(dense.name + ".output");
    }
    for (const auto& [name, unused] : network.weights) model.content.tensors.erase(name);
    quantize(network, learned).to_model(model);
    check_kind(model);
    model.save(file);
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, CompositeExplicitAutograd, m) {
  m.impl("_read_network", TORCH_FN(read_network));
  m.impl("_write_network", TORCH_FN(write_network));
  m.impl("_write_quantized_network", TORCH_FN(write_quantized_network));
}

}  // namespace starling::ops
