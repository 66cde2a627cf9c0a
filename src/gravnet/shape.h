#pragma once

#include <string>

#include "starling/error.h"
#include "starling/gravnet.h"

namespace starling::gravnet {

/// Throws `kind`, the message starting with `where`, for a value out of range.
void check(const GravNetShape& shape, ErrorKind kind, const std::string& where);

/// Inputs of fc3.
int head_inputs(const GravNetShape& shape);

}  // namespace starling::gravnet
