#pragma once

#include "random/random.h"

namespace starling::simulate {

using random::Random;

/// The spectrum dN/dpt ∝ pt (1 + pt/p0)^-n above a lowest pt: soft at the start, a power law far above p0.
class Spectrum {
 public:
  /// p0 is chosen for the given median, which must lie above `lowest`; power > 2.
  Spectrum(double lowest, double median, double power);

  double draw(Random& random) const;

 private:
  double survival(double x) const;

  double power_, scale_ = 1, lowest_ = 0, above_ = 1;
};

}  // namespace starling::simulate
