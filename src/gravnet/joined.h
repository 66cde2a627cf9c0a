#pragma once

#include <vector>

#include "starling/gravnet.h"

namespace starling::gravnet {

/// The layers of a network as every backend runs them: lin_out1 and lin_out2 are one layer whose inputs [x, mean, max]
/// lie side by side, so its sum runs over x first. Names are those of the network, "gravnet_layers.0.lin_out" the new
/// one's.
struct JoinedLayers {
  struct Block {
    DenseLayer space, features;      ///< lin_s, lin_h
    std::vector<DenseLayer> update;  ///< lin_out and the three layers of dense_after_gravnet
  };

  std::vector<DenseLayer> encoder;  ///< fc1, fc2
  std::vector<Block> blocks;
  std::vector<DenseLayer> head;  ///< fc3, fc4
  Weights weights;

  /// The network must hold exactly the arrays of its shape.
  explicit JoinedLayers(const GravNet& network);
};

}  // namespace starling::gravnet
