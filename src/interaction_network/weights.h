#pragma once

#include <algorithm>
#include <vector>

#include "dense/mlp.h"
#include "starling/interaction_network.h"

namespace starling::interaction_network {

/// One message-passing step. The first edge layer W [e, e0, x_src, x0_src, x_dst, x0_dst] is taken apart into edge's
/// first layer, W_e [e, e0], and two products per node, by_src [x, x0] (which has the bias) and by_dst [x, x0].
struct Step {
  dense::Mlp edge, node;  ///< node is empty in the last step: it would feed nothing
  dense::PackedLayer by_src, by_dst;
};

/// A network's weights as the kernels of one instruction level read them.
class PackedWeights {
 public:
  PackedWeights(const InteractionNetwork& network, const dense::FloatKernels& kernels);

  dense::Mlp node_encoder, edge_encoder, edge_decoder, edge_output;

  const Step& step(int i) const { return steps_[std::min<std::size_t>(i, steps_.size() - 1)]; }
  /// Whether the encoders' outputs are inputs of their own in step i: in the first one they are the states.
  bool has_encoded(int i) const { return concat_ && i > 0; }
  /// The widest layer's columns, padding included.
  int most_columns() const { return most_columns_; }

 private:
  dense::FloatPacker packer_;
  std::vector<Step> steps_;
  bool concat_;
  int most_columns_ = 0;
};

}  // namespace starling::interaction_network
