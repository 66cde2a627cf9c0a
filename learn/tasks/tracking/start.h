#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "learn/nn/quantization.h"
#include "starling/track_finder.h"

namespace starling::learn::tracking {

/// What a run begins with, or another network in it: a model, its network in float values.
struct Start {
  TrackFinder finder;
  starling::InteractionNetwork network;        ///< of codes: their values
  std::optional<LearnedQuantization> learned;  ///< of a quantised network
  /// [out, in] by layer, 0 = pruned; of the layers of which something is.
  std::map<std::string, std::vector<std::uint8_t>> kept;
};

/// Reads a model file, or the folder of an earlier run: its model with the values that the run trained, which are
/// finer than their codes. Throws ErrorKind::input, naming the file.
Start read_start(const std::filesystem::path& path);

/// The shape of the network in it alone. Throws as read_start().
InteractionNetworkShape read_shape(const std::filesystem::path& path);

}  // namespace starling::learn::tracking
