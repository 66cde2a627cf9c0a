#pragma once

#include <string>
#include <vector>

#include "dense/integer_arithmetic.h"
#include "starling/error.h"
#include "starling/quantized_network.h"

namespace starling::quantized_network {

inline constexpr int kLeastBits = 2, kMostBits = 12, kMostBiasBits = 32;

/// Throws `kind`, the message starting with `where`, for what is no quantised network: layers or inputs that are not
/// those of the shape, sizes that do not fit, bits, codes and scales out of range, pruned weights that are not 0.
void check(const QuantizedNetwork& network, ErrorKind kind, const std::string& where);

/// Codes of what an MLP reads, and of what leaves a ReLU.
dense::CodeGrid signed_grid(const Quantizer& quantizer);
dense::CodeGrid unsigned_grid(const Quantizer& quantizer);

/// "node_network.3" of "node_network.3.0", and 0.
std::string mlp_of(const std::string& layer);
int place_of(const std::string& layer);

/// A layer with all that its arithmetic needs, of a checked network.
struct Layer {
  DenseLayer dense;
  const QuantizedLayer* codes = nullptr;
  dense::CodeGrid input, output;  ///< output: of a layer with a ReLU
  std::vector<float> scale;       ///< [1] or [out] of its sums: the input's times that of the weights
  /// No sum of products with its bias is larger in magnitude, whatever the inputs, nor is it when it is rescaled.
  std::int64_t bound = 0;
  /// [out], or empty where the scale is one: sums are brought to the scale `common` before they are normalised.
  std::vector<double> ratio;
  double common = 0.;
  double floor = 0.;  ///< spread_floor(), where layer normalisation follows

  int weight_at(int out, int in) const { return codes->weight[static_cast<std::size_t>(out) * dense.in + in]; }
  int bias_at(int out) const { return codes->bias.empty() ? 0 : codes->bias[out]; }
  float scale_of(int out) const { return scale[scale.size() == 1 ? 0 : out]; }
  /// Whether it is the first of an encoder, whose quantiser may be finer than those of states: features span orders of
  /// magnitude.
  bool reads_features() const;
  /// Codes that can be read: those of states are not negative, since a ReLU left them.
  dense::CodeGrid reachable() const;
  /// See IntegerQuantize: of a layer with a ReLU.
  bool bounded() const;
};

/// In the order of layers(shape).
std::vector<Layer> arithmetic(const QuantizedNetwork& network);

}  // namespace starling::quantized_network
