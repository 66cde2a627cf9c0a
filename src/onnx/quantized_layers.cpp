#include "onnx/quantized_layers.h"

#include <iterator>
#include <type_traits>

#include "quantized_network/structure.h"
#include "starling/error.h"

namespace starling::onnx {
namespace {

constexpr int kByte = 8;  // bits; QuantizeLinear of opset 18 has no wider type

template <typename T>
const char* name_of_type() {
  if constexpr (std::is_same_v<T, std::int8_t>) return "int8";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "uint8";
  if constexpr (std::is_same_v<T, float>) return "float";
}

struct CodeRange {
  int lowest, highest;
};

CodeRange range_of(int bits, bool is_signed, bool narrow = false) {
  const int half = 1 << (bits - 1);
  if (!is_signed) return {0, 2 * half - 1};
  return {narrow ? 1 - half : -half, half - 1};
}

}  // namespace

QuantizedLayers::QuantizedLayers(Graph& graph, const QuantizedNetwork& network, OnnxQuantization form)
    : Layers(graph), network_(network), form_(form) {
  float scale = 1.f;
  for (const DenseLayer& layer : layers(network.shape)) {
    if (layer.name.ends_with(".0")) scale = network.inputs.at(quantized_network::mlp_of(layer.name)).scale;
    input_scale_[layer.name] = scale;
    scale = network.layers.at(layer.name).output.scale;
  }
}

std::string QuantizedLayers::weight(const DenseLayer& layer) {
  const QuantizedLayer& codes = network_.layers.at(layer.name);
  return value_of({layer.name + ".weight",
                   {layer.out, layer.in},
                   {codes.weight.begin(), codes.weight.end()},
                   codes.weight_scale,
                   codes.weight_bits,
                   true});
}

std::string QuantizedLayers::bias(const DenseLayer& layer) {
  const QuantizedLayer& codes = network_.layers.at(layer.name);
  Codes bias = {layer.name + ".bias", {layer.out}, codes.bias, {}, codes.bias_bits, false};
  for (const float scale : codes.weight_scale) bias.scale.push_back(input_scale_.at(layer.name) * scale);
  return value_of(bias);
}

std::pair<const std::vector<float>&, const std::vector<float>&> QuantizedLayers::affine(const DenseLayer& layer) {
  const QuantizedLayer& codes = network_.layers.at(layer.name);
  return {codes.norm_weight, codes.norm_bias};
}

std::string QuantizedLayers::input(const std::string& scope, const std::string& mlp, const std::string& value) {
  return rounded(scope + "/input", mlp + ".input", value, network_.inputs.at(mlp), true);
}

std::string QuantizedLayers::output(const std::string& scope, const DenseLayer& layer, const std::string& value) {
  return rounded(scope + "/output", layer.name + ".output", value, network_.layers.at(layer.name).output, false);
}

void QuantizedLayers::check_bits(const std::string& name, int bits) const {
  if (form_ != OnnxQuantization::qdq || bits >= kByte) return;
  throw Error(ErrorKind::usage,
              name + " has " + std::to_string(bits) + " bits, expected at least 8 for QDQ: QCDQ and QONNX take fewer");
}

std::string QuantizedLayers::value_of(const Codes& codes) {
  std::string& value = made_[codes.name];
  if (!value.empty()) return value;
  if (form_ == OnnxQuantization::qonnx) return value = quant_of(codes);
  const bool is_bias = codes.shape.size() == 1;  // added to sums of products, which have 32 bits
  if (!is_bias) check_bits(codes.name, codes.bits);
  const bool in_bytes = !is_bias && codes.bits <= kByte;
  return value = in_bytes ? dequantized<std::int8_t>(codes) : dequantized<std::int32_t>(codes);
}

template <typename Stored>
std::string QuantizedLayers::dequantized(const Codes& codes) {
  std::string stored =
      graph_.array(codes.name, codes.shape, std::vector<Stored>(codes.codes.begin(), codes.codes.end()));
  const bool per_row = codes.scale.size() > 1;
  std::vector<std::int64_t> count;
  if (per_row) count.push_back(std::ssize(codes.scale));
  std::vector<std::string> inputs = {stored, graph_.array(codes.name + "_scale", count, codes.scale)};
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    if (codes.bits < kByte) {
      const auto [lowest, highest] = range_of(codes.bits, true, codes.narrow);
      inputs[0] = clip<Stored>(codes.name + "/clipped", stored, lowest, highest);
    }
    // One of its own per array: onnxruntime, where it makes uint8 weights of int8 ones, fails on a shared one.
    inputs.push_back(graph_.array(codes.name + "_zero_point", count, std::vector<Stored>(codes.scale.size())));
  }
  std::vector<Attribute> attributes;
  if (per_row) attributes.push_back({"axis", std::int64_t{0}});
  return graph_.node("DequantizeLinear", codes.name + "/value", inputs, attributes);
}

std::string QuantizedLayers::quant_of(const Codes& codes) {
  const std::size_t each = codes.codes.size() / codes.scale.size();
  std::vector<float> values;
  for (std::size_t i = 0; i < codes.codes.size(); ++i) {
    values.push_back(static_cast<float>(codes.codes[i]) * codes.scale[codes.scale.size() == 1 ? 0 : i / each]);
  }
  std::vector<std::int64_t> count;
  if (codes.scale.size() > 1) {
    count.assign(codes.shape.size(), 1);
    count[0] = codes.shape[0];
  }
  return quant(codes.name + "/value", graph_.array(codes.name, codes.shape, values),
               graph_.array(codes.name + "_scale", count, codes.scale), codes.bits, true, codes.narrow);
}

std::string QuantizedLayers::rounded(const std::string& scope, const std::string& name, const std::string& value,
                                     const Quantizer& quantizer, bool is_signed) {
  const int bits = quantizer.bits;
  const std::string scale = graph_.scalar(name + "_scale", quantizer.scale);
  if (form_ == OnnxQuantization::qonnx) return quant(scope, value, scale, bits, is_signed, false);
  check_bits(name, bits);
  if (bits > kByte) return rounded_in_float(scope, scale, value, bits, is_signed);
  return is_signed ? rounded_in_bytes<std::int8_t>(scope, scale, value, bits)
                   : rounded_in_bytes<std::uint8_t>(scope, scale, value, bits);
}

template <typename Stored>
std::string QuantizedLayers::rounded_in_bytes(const std::string& scope, const std::string& scale,
                                              const std::string& value, int bits) {
  std::string codes = graph_.node("QuantizeLinear", scope + "/codes", {value, scale, zero<Stored>()});
  if (bits < kByte) {
    const auto [lowest, highest] = range_of(bits, std::is_signed_v<Stored>);
    codes = clip<Stored>(scope + "/clipped", codes, lowest, highest);
  }
  return graph_.node("DequantizeLinear", scope, {codes, scale, zero<Stored>()});
}

std::string QuantizedLayers::rounded_in_float(const std::string& scope, const std::string& scale,
                                              const std::string& value, int bits, bool is_signed) {
  const std::string steps =
      graph_.node("Round", scope + "/rounded", {graph_.node("Div", scope + "/steps", {value, scale})});
  const auto [lowest, highest] = range_of(bits, is_signed);
  return graph_.node("Mul", scope, {clip<float>(scope + "/codes", steps, lowest, highest), scale});
}

template <typename Stored>
std::string QuantizedLayers::zero() {
  return graph_.scalar(std::string("zero_") + name_of_type<Stored>(), Stored{});
}

template <typename Stored>
std::string QuantizedLayers::clip(const std::string& name, const std::string& value, int lowest, int highest) {
  const auto bound = [&](int number) {
    return graph_.scalar(std::string(name_of_type<Stored>()) + "_" + std::to_string(number),
                         static_cast<Stored>(number));
  };
  return graph_.node("Clip", name, {value, bound(lowest), bound(highest)});
}

std::string QuantizedLayers::quant(const std::string& name, const std::string& value, const std::string& scale,
                                   int bits, bool is_signed, bool narrow) {
  const std::string width = graph_.scalar("bits_" + std::to_string(bits), static_cast<float>(bits));
  return graph_.node(
      "Quant", name, {value, scale, zero<float>(), width},
      {{"narrow", std::int64_t{narrow}}, {"rounding_mode", "ROUND"}, {"signed", std::int64_t{is_signed}}},
      kQonnxDomain);
}

}  // namespace starling::onnx
