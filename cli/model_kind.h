#pragma once

#include "starling/error.h"
#include "starling/model.h"

namespace starling::cli {

/// What a model is for.
enum class ModelKind { tracks, showers };

/// Throws ErrorKind::input, naming the file, for a model of another kind. Files of format 1 say none: they are of
/// tracking.
inline ModelKind kind_of(const Model& model) {
  if (model.kind.empty() || model.kind == "tracking") return ModelKind::tracks;
  if (model.kind == "showers") return ModelKind::showers;
  throw Error(ErrorKind::input,
              model.content.name + ": a model of the kind " + model.kind + ", expected tracking or showers");
}

}  // namespace starling::cli
