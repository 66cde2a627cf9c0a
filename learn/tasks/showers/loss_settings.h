#pragma once

#include <string>

namespace starling::learn::showers {

/// [loss] of a configuration (docs/training.md).
struct LossSettings {
  std::string form = "slide";  ///< of object condensation: "slide" or "paper" (docs/definitions.md)
  float q_min = 0.1f;
  float repulsion = 1;  ///< weight of the repulsion
  /// Slide form: the sum over the hits of others is divided by this number, and not by that of these hits. Then
  /// neighbours push each other apart as strongly in a large event as in a small one. 0: by that of these hits.
  float repulsion_hits = 0;
  float noise = 1;                                    ///< s_B, weight of the noise
  float energy = 0.3f, kind = 0.1f, position = 0.1f;  ///< weights of the payload's losses
};

}  // namespace starling::learn::showers
