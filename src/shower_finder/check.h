#pragma once

#include <string>

#include "starling/error.h"
#include "starling/shower_finder.h"

namespace starling::shower_finder {

// Throw `kind`, the message starting with `where`, for a value out of range.
void check(const ShowerFeatures& features, ErrorKind kind, const std::string& where);
void check(const ShowerOutputs& outputs, ErrorKind kind, const std::string& where);
void check(const ShowerCuts& cuts, ErrorKind kind, const std::string& where);

/// Throws ErrorKind::usage for a finder that cannot be saved.
void check(const ShowerFinder& finder);

/// Throws `kind` unless the network reads the features and gives the outputs.
void check_fit(const ShowerFinder& finder, ErrorKind kind, const std::string& where);

}  // namespace starling::shower_finder
