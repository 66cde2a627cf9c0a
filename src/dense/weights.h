#pragma once

#include <string>
#include <vector>

#include "starling/dense.h"
#include "starling/error.h"
#include "starling/model.h"

/// The weights of a network's dense layers: checked, and into and out of a model.
namespace starling::dense {

/// Throws `kind`, the message starting with `where`, unless the weights are exactly the arrays of the layers, every
/// value finite.
void check_weights(const Weights& weights, const std::vector<DenseLayer>& layers, ErrorKind kind,
                   const std::string& where);

/// One F32 array per array of the layers.
void weights_to_model(const Weights& weights, const std::vector<DenseLayer>& layers, Model& model);

/// Throws ErrorKind::input, naming the model's file, for an array that is missing, of another shape or type, or not
/// finite. Arrays of other names are left to the caller.
Weights weights_from_model(const Model& model, const std::vector<DenseLayer>& layers);

}  // namespace starling::dense
