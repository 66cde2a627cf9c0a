#pragma once

#include "starling/hit_graph.h"

namespace starling {

/// Throws ErrorKind::input, naming the first hit at fault, unless all coordinates are finite. Columns are of one
/// length.
void check_finite(const HitsView& hits);

/// Throws ErrorKind::usage unless all scales are finite and above 0; the message begins with `caller`.
void check_scales(const FeatureScales& scales, const char* caller);

}  // namespace starling
