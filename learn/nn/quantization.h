#pragma once

#include <optional>
#include <string>
#include <vector>

#include "starling/quantized_network.h"

namespace starling::learn {

/// The bits of every site of a network that is trained with fake quantisation, and how its thresholds begin
/// (docs/definitions.md, Fake quantisation).
struct QuantizationSettings {
  int weights = 8, activations = 8;  ///< of matrices; of what leaves a ReLU; 2..12
  int inputs = 8;                    ///< of what an MLP reads but for the encoders, 2..12
  /// Of what the encoders read, 2..12. Features span orders of magnitude and share one scale, and their products are
  /// few.
  int features = 12;
  /// 2..32. With 32 no bias is ever cut off; a bias that is gets no gradient. 16 are as good where weights and inputs
  /// have 16 together at most.
  int biases = 32;
  bool per_channel = false;    ///< one scale per output of a matrix instead of one for all of it
  bool powers_of_two = false;  ///< every scale is rounded up to one
  /// Thresholds begin at this percentile of what a site meets, in percent; of features at another, since few are large.
  double percentile = 99.999, feature_percentile = 99;
  int collect_steps = 300;  ///< training steps until thresholds are learned

  /// Other bits of one layer ("edge_network.3.1") or of all of an MLP ("edge_network.3"); absent ones are as above.
  struct Layer {
    std::string name;
    std::optional<int> weights, biases, activations, inputs;
  };
  std::vector<Layer> layers;  ///< the longest name that fits counts
};

/// Bits site by site, thresholds 1, nothing pruned. Throws ErrorKind::usage for bits out of range and for a name in
/// `layers` that the network does not have, has twice or whose site it does not have.
LearnedQuantization sites(const QuantizationSettings& settings, const InteractionNetworkShape& shape);

/// A network in codes as training has it: float values of the same codes, bits and thresholds.
struct DequantizedNetwork {
  starling::InteractionNetwork network;
  LearnedQuantization learned;
};
DequantizedNetwork dequantized(const QuantizedNetwork& network);

/// Whether `name` of a setting means this layer or MLP: it is its name, or the beginning of it up to a dot.
bool covers(const std::string& name, const std::string& layer);

}  // namespace starling::learn
