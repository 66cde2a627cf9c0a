#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <variant>

#include "starling/hit_graph.h"
#include "starling/interaction_network.h"
#include "starling/model.h"
#include "starling/quantized_network.h"
#include "starling/tracks.h"

namespace starling {

/// All that reconstruction of tracks needs: what a model file of the kind "tracking" holds.
///
/// Sections: `architecture` and the network's arrays (interaction_network.h), with `quantization` where they are codes
/// (quantized_network.h), `windows` and the arrays "windows.*"
/// (hit_graph.h), `scales`, `cuts` and `provenance`, the keys of the first two being those of FeatureScales and
/// TrackCuts. A model of format 1 has no kind: it is a track finder.
struct TrackFinder {
  std::variant<InteractionNetwork, QuantizedNetwork> network;
  Windows windows;
  FeatureScales scales;
  TrackCuts cuts;
  std::string provenance = "{}";  ///< JSON object: data, seed, configuration, versions

  /// Reads a model file. Throws ErrorKind::input, naming the file, for another kind, and for an array or a key too many
  /// or too few, a wrong shape or a value out of range.
  static TrackFinder load(const std::filesystem::path& file);
  /// Throws ErrorKind::usage for what load() would refuse.
  void save(const std::filesystem::path& file) const;

  const InteractionNetworkShape& shape() const;  ///< of the network
  /// The network, ready to run: for Session. Throws what the constructors of Plan and QuantizedPlan throw.
  std::shared_ptr<const EdgePlan> plan(SimdLevel level = simd_level()) const;

  static TrackFinder from_model(const Model& model);
  Model to_model() const;
};

/// The cuts as a JSON object, one key per member.
std::string to_json(const TrackCuts& cuts);

}  // namespace starling
