#pragma once

#include <cstdint>
#include <string>

#include "onnx/network.h"
#include "starling/onnx.h"
#include "starling/quantized_network.h"

namespace starling::onnx {

inline constexpr const char* kQonnxDomain = "qonnx.custom_op.general";

/// Weights and biases as codes with their scales; values rounded to codes and back.
class QuantizedLayers final : public Layers {
 public:
  QuantizedLayers(Graph& graph, const QuantizedNetwork& network, OnnxQuantization form);

  std::string weight(const DenseLayer& layer) override;
  std::string bias(const DenseLayer& layer) override;
  std::pair<const std::vector<float>&, const std::vector<float>&> affine(const DenseLayer& layer) override;
  std::string input(const std::string& scope, const std::string& mlp, const std::string& value) override;
  std::string output(const std::string& scope, const DenseLayer& layer, const std::string& value) override;

 private:
  /// Throws ErrorKind::usage where the form has no such codes.
  void check_bits(const std::string& name, int bits) const;

  /// An array of codes of one scale, or of one per row.
  struct Codes {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<std::int32_t> codes;
    std::vector<float> scale;
    int bits;
    bool narrow;  ///< the lowest code is minus the highest
  };
  std::string value_of(const Codes& codes);
  std::string quant_of(const Codes& codes);
  template <typename Stored>
  std::string dequantized(const Codes& codes);

  /// A value rounded to codes: nodes are named after `scope`, the quantiser is called `name` in a model.
  std::string rounded(const std::string& scope, const std::string& name, const std::string& value,
                      const Quantizer& quantizer, bool is_signed);
  template <typename Stored>
  std::string rounded_in_bytes(const std::string& scope, const std::string& scale, const std::string& value, int bits);
  std::string rounded_in_float(const std::string& scope, const std::string& scale, const std::string& value, int bits,
                               bool is_signed);

  template <typename Stored>
  std::string zero();
  template <typename Stored>
  std::string clip(const std::string& name, const std::string& value, int lowest, int highest);
  std::string quant(const std::string& name, const std::string& value, const std::string& scale, int bits,
                    bool is_signed, bool narrow);

  const QuantizedNetwork& network_;
  const OnnxQuantization form_;
  std::map<std::string, float> input_scale_;  ///< of what a layer multiplies
  std::map<std::string, std::string> made_;   ///< the value of an array of codes by the array's name
};

}  // namespace starling::onnx
