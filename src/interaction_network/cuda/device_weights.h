#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "interaction_network/weights.h"

namespace starling::interaction_network::cuda {

/// Columns of rows of `hidden` numbers in device memory, padding included: 32, 48, 64, 96, or a multiple of 128.
int row_columns(int hidden);

inline constexpr int kMostFused = 128;  ///< the widest network whose layers follow each other in one kernel

/// Where a layer stands in packed memory.
struct LayerPlace {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t weights = 0;   ///< panels of columns, one behind the other: [rows, columns of a panel]
  int rows = 0;              ///< inputs, each part padded to kInputStep, with zeros
  std::size_t bias = kNone;  ///< [columns]
  std::size_t norm_weight = kNone, norm_bias = kNone;
  Norm norm = Norm::none;
  bool relu = false;
};

/// A network's weights as floats for a device: the arrays of PackedWeights, in the order in which passes over edges and
/// nodes read them, so that the matrices of one pass stand one behind the other.
struct DeviceWeights {
  /// Layers that edges go through in one step. Encoder in the first step, decoder in the last.
  struct EdgePass {
    std::vector<LayerPlace> encoder, update, decoder;  ///< decoder: edge_decoder and edge_output
    std::size_t output = 0;                            ///< [H] the row of edge_output's last matrix
    int rows = 0;                                      ///< of all matrices but that of the output
  };
  /// The encoder or a step's node network, then the products for the edges of the next step.
  struct NodePass {
    std::vector<LayerPlace> layers;
    LayerPlace by_src, by_dst;
    int rows = 0;
  };

  explicit DeviceWeights(const InteractionNetwork& network);

  /// Bytes of device memory that the content takes.
  std::size_t bytes() const;
  /// Copies the content to `memory` of the current device, where it is in the end, and forgets it here.
  const float* upload(std::span<std::byte> memory);

  std::vector<float> content;
  NodePass node_encoder;
  bool has_encoded(int step) const { return concat_ && step > 0; }
  const EdgePass& edge_pass(int step) const {
    return edges_[static_cast<std::size_t>(edge_of_step_[static_cast<std::size_t>(step)])];
  }
  const NodePass& node_pass(int step) const {
    return nodes_[static_cast<std::size_t>(node_of_step_[static_cast<std::size_t>(step)])];
  }

 private:
  bool concat_;
  std::vector<EdgePass> edges_;
  std::vector<NodePass> nodes_;
  std::vector<int> edge_of_step_, node_of_step_;
};

}  // namespace starling::interaction_network::cuda
