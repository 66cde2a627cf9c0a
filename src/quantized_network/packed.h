#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "dense/integer_packer.h"
#include "dense/kernels.h"
#include "quantized_network/structure.h"

namespace starling::quantized_network {

/// A layer as the kernels of one level read it.
struct PackedLayer {
  dense::PackedCodes product;
  dense::IntegerQuantize quantize{};  ///< but for sums, count and codes; of a layer with a ReLU
  int width = 0;
  Norm norm = Norm::none;
  bool relu = false;
  float scale = 0.f;          ///< of the sums of a layer without a ReLU: of logits
  std::vector<float> scales;  ///< [width] of the sums, with batch normalisation
  const float* norm_weight = nullptr;
  const float* norm_bias = nullptr;
};

using Mlp = std::vector<PackedLayer>;

/// One message-passing step. The first edge layer is there as a whole, over the codes of an edge and its two nodes, and
/// taken apart as in Step of interaction_network/weights.h.
struct Step {
  Mlp edge,
      node;  ///< of edge the first layer is that of edges alone; node is empty in the last step: it would feed nothing
  dense::PackedCodes by_src, by_dst;
  dense::PackedCodes whole;
  // What the MLPs read of states: codes to codes.
  dense::Requantize edge_of_e{}, edge_of_e0{}, edge_of_x{}, edge_of_x0{}, node_of_x{}, node_of_x0{};
  dense::Messages node_of_messages{};
};

/// A network as the kernels of one set read it.
class PackedNetwork {
 public:
  /// Of a checked network.
  PackedNetwork(const QuantizedNetwork& network, const dense::IntegerSet& set);

  InteractionNetworkShape shape;
  const dense::IntegerKernels* kernels;          ///< for codes of states
  const dense::IntegerKernels* feature_kernels;  ///< for what the encoders read; its sums are of the same type
  Mlp node_encoder, edge_encoder, edge_decoder, edge_output;
  dense::CodeGrid node_features, edge_features;
  dense::Requantize decoder_of_e{}, output_of_decoded{};
  std::int32_t highest_message = 0;  ///< the largest code that an edge sends

  /// Of the kernels for codes of states, and the bits of a code in memory.
  std::string kernels_name() const {
    return std::string(kernels->name) + ", codes of " + std::to_string(8 * kernels->code_bytes) + " bits";
  }

  const Step& step(int i) const { return steps_[std::min<std::size_t>(i, steps_.size() - 1)]; }

 private:
  PackedNetwork(const QuantizedNetwork& network, const std::vector<Layer>& layers, const dense::IntegerSet& set);

  PackedLayer pack(const Layer& layer, const std::vector<int>& inputs, int width, bool with_bias);
  Mlp pack_mlp(const std::string& name, int first);
  dense::Requantize requantizer(const dense::CodeGrid& from, const dense::CodeGrid& to);
  static dense::Messages reader(const dense::CodeGrid& message, const dense::CodeGrid& to);
  Step pack_step(int index);

  dense::IntegerPacker packer_, feature_packer_;
  std::map<std::string, Layer> layers_;  ///< while packing
  std::vector<Step> steps_;
};

}  // namespace starling::quantized_network
