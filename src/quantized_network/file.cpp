#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "interaction_network/shape.h"
#include "json/section.h"
#include "quantized_network/structure.h"

namespace starling {
namespace {

using quantized_network::mlp_of, quantized_network::place_of;

constexpr const char* kSection = "quantization";
constexpr int kVersion = 1;

// Codes in the smallest type that holds their bits.
template <typename Code>
Tensor codes_to_tensor(const std::vector<Code>& codes, const std::vector<std::int64_t>& shape, int bits) {
  if (bits > 16) return Tensor::of(std::vector<std::int32_t>(codes.begin(), codes.end()), shape);
  if (bits > 8) return Tensor::of(std::vector<std::int16_t>(codes.begin(), codes.end()), shape);
  const Tensor::Type type = bits > 4 ? Tensor::Type::i8 : bits > 2 ? Tensor::Type::i4 : Tensor::Type::i2;
  return Tensor::of(std::vector<std::int8_t>(codes.begin(), codes.end()), shape, type);
}

Tensor::Type type_of(int bits) {
  return bits > 16  ? Tensor::Type::i32
         : bits > 8 ? Tensor::Type::i16
         : bits > 4 ? Tensor::Type::i8
         : bits > 2 ? Tensor::Type::i4
                    : Tensor::Type::i2;
}

template <typename Code>
std::vector<Code> codes_of(const Tensor& tensor) {
  const auto copied = [](const auto& values) { return std::vector<Code>(values.begin(), values.end()); };
  if (tensor.type == Tensor::Type::i32) return copied(tensor.i32());
  if (tensor.type == Tensor::Type::i16) return copied(tensor.i16());
  return copied(tensor.codes());
}

// A bit per weight, rows at a byte, the first weight in the lowest bit.
Tensor mask_to_tensor(const std::vector<std::uint8_t>& kept, std::int64_t out, std::int64_t in) {
  const std::int64_t row = (in + 7) / 8;
  Tensor tensor{Tensor::Type::u8, {out, row}, std::vector<std::byte>(static_cast<std::size_t>(out * row))};
  for (std::int64_t i = 0; i < out * in; ++i) {
    if (kept[i] != 0) tensor.bytes[i / in * row + i % in / 8] |= std::byte(1 << i % in % 8);
  }
  return tensor;
}

class Reader {
 public:
  explicit Reader(const Model& model) : model_(model), where_(model.content.name + ": ") {}

  const Tensor& tensor(const std::string& name, Tensor::Type type, const std::vector<std::int64_t>& shape) const {
    const Tensor* const found = optional(name);
    if (found == nullptr) refuse(name, "is missing");
    if (found->shape != shape) {
      refuse(name,
             "has the shape " + nlohmann::json(found->shape).dump() + ", expected " + nlohmann::json(shape).dump());
    }
    if (found->type != type) refuse(name, "has another type than its bits take: expected " + type_name(type));
    return *found;
  }

  const Tensor* optional(const std::string& name) const {
    const auto found = model_.content.tensors.find(name);
    return found == model_.content.tensors.end() ? nullptr : &found->second;
  }

  float scale(const std::string& name) const { return tensor(name, Tensor::Type::f32, {1}).f32().front(); }

  std::vector<float> weight_scales(const std::string& name, std::int64_t out) const {
    const Tensor* const found = optional(name);
    const bool per_channel = found != nullptr && found->shape != std::vector<std::int64_t>{1};
    return tensor(name, Tensor::Type::f32, {per_channel ? out : 1}).f32();
  }

  std::vector<std::uint8_t> mask(const std::string& name, std::int64_t out, std::int64_t in) const {
    if (optional(name) == nullptr) return {};
    const std::int64_t row = (in + 7) / 8;
    const std::vector<std::byte>& bytes = tensor(name, Tensor::Type::u8, {out, row}).bytes;
    std::vector<std::uint8_t> kept(static_cast<std::size_t>(out * in));
    for (std::int64_t i = 0; i < out * in; ++i) {
      kept[i] = std::to_integer<unsigned>(bytes[i / in * row + i % in / 8]) >> i % in % 8 & 1u;
    }
    if (mask_to_tensor(kept, out, in).bytes != bytes) refuse(name, "has bits beyond its columns that are not 0");
    return kept;
  }

  std::vector<std::int16_t> weights(const std::string& name, int bits, const std::vector<std::uint8_t>& kept,
                                    std::int64_t out, std::int64_t in) const {
    if (kept.empty()) return codes_of<std::int16_t>(tensor(name, type_of(bits), {out, in}));
    const std::int64_t count = std::count(kept.begin(), kept.end(), 1);
    const auto stored = codes_of<std::int16_t>(tensor(name, type_of(bits), {count}));
    std::vector<std::int16_t> weight(kept.size());
    auto next = stored.begin();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (kept[i] != 0) weight[i] = *next++;
    }
    return weight;
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw Error(ErrorKind::input, where_ + "tensor " + name + " " + what);
  }

  static std::string type_name(Tensor::Type type) {
    switch (type) {
      case Tensor::Type::i32:
        return "I32";
      case Tensor::Type::i16:
        return "I16";
      case Tensor::Type::i8:
        return "I8";
      case Tensor::Type::i4:
        return "I4";
      case Tensor::Type::i2:
        return "I2";
      case Tensor::Type::u8:
        return "U8";
      default:
        return "F32";
    }
  }

  const Model& model_;
  const std::string where_;
};

}  // namespace

bool QuantizedNetwork::is_in(const Model& model) { return model.content.metadata.contains(kSection); }

void QuantizedNetwork::to_model(Model& model) const {
  quantized_network::check(*this, ErrorKind::usage, "");
  auto& tensors = model.content.tensors;
  nlohmann::ordered_json bits;
  const auto scale = [&](const std::string& name, float value) {
    tensors[name] = Tensor::of(std::vector<float>{value}, {1});
  };
  for (const DenseLayer& dense : starling::layers(shape)) {
    const std::string& name = dense.name;
    if (place_of(name) == 0) {
      const std::string mlp = mlp_of(name);
      bits[mlp + ".input"] = inputs.at(mlp).bits;
      scale(mlp + ".input_scale", inputs.at(mlp).scale);
    }
    const QuantizedLayer& layer = layers.at(name);
    bits[name + ".weight"] = layer.weight_bits;
    if (layer.kept.empty()) {
      tensors[name + ".weight"] = codes_to_tensor(layer.weight, {dense.out, dense.in}, layer.weight_bits);
    } else {
      std::vector<std::int16_t> stored;
      for (std::size_t i = 0; i < layer.weight.size(); ++i) {
        if (layer.kept[i] != 0) stored.push_back(layer.weight[i]);
      }
      tensors[name + ".weight"] = codes_to_tensor(stored, {std::ssize(stored)}, layer.weight_bits);
      tensors[name + ".weight_mask"] = mask_to_tensor(layer.kept, dense.out, dense.in);
    }
    tensors[name + ".weight_scale"] = Tensor::of(layer.weight_scale, {std::ssize(layer.weight_scale)});
    if (dense.bias) {
      bits[name + ".bias"] = layer.bias_bits;
      tensors[name + ".bias"] = codes_to_tensor(layer.bias, {dense.out}, layer.bias_bits);
    }
    if (dense.relu) {
      bits[name + ".output"] = layer.output.bits;
      scale(name + ".output_scale", layer.output.scale);
    }
    if (dense.norm == Norm::batch) {
      tensors[name + ".norm_weight"] = Tensor::of(layer.norm_weight, {dense.out});
      tensors[name + ".norm_bias"] = Tensor::of(layer.norm_bias, {dense.out});
    }
  }
  model.content.metadata["architecture"] = to_json(shape);
  model.content.metadata[kSection] = nlohmann::ordered_json{{"version", kVersion}, {"bits", bits}}.dump();
}

QuantizedNetwork QuantizedNetwork::from_model(const Model& model) {
  const std::string where = model.content.name + ": ";
  QuantizedNetwork network;
  network.shape = interaction_network::shape_of(model);

  json::Section section(model.section(kSection), where + kSection);
  // A later version may say other things: nothing else of it is read.
  section.take("version", "1: a later version needs a later Starling",
               [](const nlohmann::json& version) { return version == kVersion; });
  const nlohmann::json object =
      section.take("bits", "an object of whole numbers", [](const nlohmann::json& value) { return value.is_object(); });
  section.end();
  json::Section bits(object.dump(), where + kSection + ": bits");
  const auto take_bits = [&](const std::string& name, int most) {
    return bits
        .take(name.c_str(), ("a whole number in 2.." + std::to_string(most)).c_str(),
              [&](const nlohmann::json& value) {
                return value.is_number_unsigned() && value.get<std::uint64_t>() >= quantized_network::kLeastBits &&
                       value.get<std::uint64_t>() <= static_cast<std::uint64_t>(most);
              })
        .get<int>();
  };

  const Reader reader(model);
  using quantized_network::kMostBits, quantized_network::kMostBiasBits;
  for (const DenseLayer& dense : starling::layers(network.shape)) {
    const std::string& name = dense.name;
    if (place_of(name) == 0) {
      const std::string mlp = mlp_of(name);
      network.inputs[mlp] = {take_bits(mlp + ".input", kMostBits), reader.scale(mlp + ".input_scale")};
    }
    QuantizedLayer& layer = network.layers[name];
    layer.weight_bits = take_bits(name + ".weight", kMostBits);
    layer.kept = reader.mask(name + ".weight_mask", dense.out, dense.in);
    layer.weight = reader.weights(name + ".weight", layer.weight_bits, layer.kept, dense.out, dense.in);
    layer.weight_scale = reader.weight_scales(name + ".weight_scale", dense.out);
    if (dense.bias) {
      layer.bias_bits = take_bits(name + ".bias", kMostBiasBits);
      layer.bias = codes_of<std::int32_t>(reader.tensor(name + ".bias", type_of(layer.bias_bits), {dense.out}));
    }
    if (dense.relu) layer.output = {take_bits(name + ".output", kMostBits), reader.scale(name + ".output_scale")};
    if (dense.norm == Norm::batch) {
      layer.norm_weight = reader.tensor(name + ".norm_weight", Tensor::Type::f32, {dense.out}).f32();
      layer.norm_bias = reader.tensor(name + ".norm_bias", Tensor::Type::f32, {dense.out}).f32();
    }
  }
  bits.end();
  quantized_network::check(network, ErrorKind::input, where);
  return network;
}

}  // namespace starling
