#pragma once

#include "starling/shower_finder.h"

// What stands behind shower_features() and shower_points() on a CUDA device once they have checked their arguments;
// without CUDA in the build no_cuda.cpp, which throws.
namespace starling::shower_finder::cuda {

void features(const CalorimeterHitsView& hits, const ShowerFeatures& units, float* out, const Execution& execution);
void points(const CalorimeterHitsView& hits, const ShowerOutputs& layout, const float* outputs, const ShowerPoints& out,
            const Execution& execution);

}  // namespace starling::shower_finder::cuda
