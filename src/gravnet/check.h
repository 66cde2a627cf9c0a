#pragma once

#include <string>

#include "starling/gravnet.h"

namespace starling::gravnet {

/// Throws ErrorKind::usage, the message beginning with `function`, for counts out of range and arrays that are null.
void check_hits(const GravNetHits& hits, const float* outputs, const char* function);
void check_counts(const GravNetHits& hits, const char* function);
/// Of row splits in host memory.
void check_splits(const GravNetHits& hits, const char* function);

/// The network. Throws ErrorKind::usage where its weights are not those of its shape.
const GravNet& checked(const GravNet& network);

}  // namespace starling::gravnet
