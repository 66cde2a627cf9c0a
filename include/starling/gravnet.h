#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "starling/dense.h"
#include "starling/model.h"

namespace starling {

/// A network of dense layers and GravNet layers (docs/definitions.md, Shower network). The defaults are the widths of
/// FastGraphCompute's performance test, which published comparisons use.
struct GravNetShape {
  int inputs = 0;       ///< features of a hit, 1..1024
  int hidden = 128;     ///< widest dense layers, 1..1024
  int width = 64;       ///< of what a GravNet layer and a block give, 1..1024
  int blocks = 4;       ///< 1..64
  int space = 4;        ///< S, dimensions of the learned coordinates, 1..16
  int propagate = 32;   ///< P, features that a message carries, 1..1024
  int k = 64;           ///< neighbours of a hit, itself among them, 1..1024
  int outputs = 0;      ///< 1..1024
  float factor = 10;    ///< f of the weight exp(−f d²), 0..10^6
  bool concat = false;  ///< fc3 reads what all blocks gave, side by side, and not the last alone

  bool operator==(const GravNetShape&) const = default;
};

/// Every layer in the order of the definitions: fc1, fc2, per block i gravnet_layers.i.lin_s, .lin_h, .lin_out1 and
/// .lin_out2 and dense_after_gravnet.i.0, .2 and .4, then fc3 and fc4. None has a normalisation: training folds its own
/// into weights and biases. Throws ErrorKind::usage for a value out of range.
std::vector<DenseLayer> layers(const GravNetShape& shape);

std::int64_t parameter_count(const GravNetShape& shape);

/// The shape as a JSON object: one key per member, and "kind": "gravnet".
std::string to_json(const GravNetShape& shape);

/// A network in float.
struct GravNet {
  GravNetShape shape;
  Weights weights;  ///< those of layers(shape), and no others

  /// Into a model: the section `architecture`, and one F32 array per array of layers(shape). Throws ErrorKind::usage
  /// where the weights are not those of the shape, or not finite.
  void to_model(Model& model) const;
  /// Throws ErrorKind::input, naming the model's file. Arrays of other names are left to the caller.
  static GravNet from_model(const Model& model);
};

}  // namespace starling
