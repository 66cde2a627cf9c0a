#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace starling {

/// What follows the product of a dense layer. layer: over the outputs of one row; batch: over the rows of one event.
enum class Norm { none, layer, batch };

/// "none", "layer" or "batch"; both throw ErrorKind::usage for anything else.
Norm parse_norm(const std::string& name);
std::string to_string(Norm norm);

/// The numbers in which a network keeps its weights and states on a CUDA device: IEEE binary32, IEEE binary16, or the
/// upper half of a float. Sums of products are floats with every type.
enum class NumberType { float32, half, bfloat16 };

/// "float32", "half" or "bfloat16"; both throw ErrorKind::usage for anything else.
NumberType parse_number_type(const std::string& name);
std::string to_string(NumberType type);

inline constexpr float kLayerNormEpsilon = 1e-5f;
inline constexpr float kBatchNormEpsilon = 6e-5f;

/// One dense layer: y = W x + b, then the normalisation, then max(0, y). Widths are the layer's own: neighbouring
/// layers of a pruned network need not have one width.
struct DenseLayer {
  std::string name;  ///< first part of its arrays' names
  int in = 0, out = 0;
  bool bias = true;
  Norm norm = Norm::none;
  bool relu = false;

  bool operator==(const DenseLayer&) const = default;
};

/// Name and shape of an array, row-major.
struct ArrayShape {
  std::string name;
  std::vector<std::int64_t> shape;

  std::int64_t count() const;  ///< product of the shape
};

/// The arrays of a layer, in the order in which they are stored: `<name>.weight` [out, in]; where it has a bias,
/// `<name>.bias` [out]; with batch normalisation its scale and shift, `<name>.norm_weight` and `<name>.norm_bias`
/// [out].
std::vector<ArrayShape> arrays(const DenseLayer& layer);
std::vector<ArrayShape> arrays(const std::vector<DenseLayer>& layers);

std::int64_t parameter_count(const DenseLayer& layer);

/// Values of float layers by the names that arrays() gives.
using Weights = std::map<std::string, std::vector<float>>;

}  // namespace starling
