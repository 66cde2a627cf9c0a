#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "interaction_network/kernels.h"
#include "starling/interaction_network.h"

namespace starling::interaction_network {

inline constexpr std::size_t kAlignment = 64;

/// One linear layer, or the part of one that multiplies some of its inputs.
struct Linear {
  const float* weights = nullptr;  ///< packed, see panel_vectors()
  const float* bias = nullptr;     ///< [columns]; null = none
  int columns = 0;                 ///< outputs, padded with zeros to whole vectors
  bool normalised = false, relu = false;
  const float* norm_weight = nullptr;  ///< [columns], of batch normalisation
  const float* norm_bias = nullptr;
};

struct Mlp {
  std::vector<Linear> layers;
};

/// One message-passing step. The first edge layer W [e, e0, x_src, x0_src, x_dst, x0_dst] is taken apart into edge's
/// first layer, W_e [e, e0], and two products a node, by_src [x, x0] (which has the bias) and by_dst [x, x0].
struct Step {
  Mlp edge, node;  ///< node is empty in the last step: it would feed nothing
  Linear by_src, by_dst;
};

/// A model's weights as the kernels of one instruction set read them.
///
/// LayerNorm's subtraction of the mean is done here, once: where a layer is followed by LayerNorm, the mean over the
/// outputs is taken off each column of its matrix and off its bias, so every output vector has mean 0 already. What is
/// left of LayerNorm is a factor a row, 1 / sqrt(variance + epsilon); it passes through the ReLU (it is positive) and
/// through the next matrix, and is applied after that.
class PackedWeights {
 public:
  PackedWeights(const InteractionNetwork& network, const Kernels& kernels);

  Mlp node_encoder, edge_encoder, edge_decoder, edge_output;

  const Step& step(int i) const { return steps_[std::min<std::size_t>(i, steps_.size() - 1)]; }
  /// Whether the encoders' outputs are inputs of their own in step i: in the first one they are the states.
  bool has_encoded(int i) const { return concat_ && i > 0; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  class Packer;

  std::vector<Step> steps_;
  bool concat_;
  std::vector<std::unique_ptr<float, Free>> memory_;
};

}  // namespace starling::interaction_network
