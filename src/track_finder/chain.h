#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>

#include "memory/layout.h"
#include "starling/track_finder.h"

namespace starling::track_finder {

/// Where the stages of one event leave what they make, in device memory.
struct ChainMemory {
  HitGraphMemory graph;
  float* scores = nullptr;           ///< [capacity.edges]
  std::int32_t* bad_edge = nullptr;  ///< one: the network asks for it, and a hit graph has none
  std::span<std::byte> workspace;    ///< of one stage after the other
};

/// The network of a finder: with floats or in codes, as it is there.
using NetworkPlan =
    std::variant<std::unique_ptr<const InteractionNetworkCudaPlan>, std::unique_ptr<const QuantizedCudaPlan>>;

/// The stages of TrackCudaPlan. Immutable.
class Chain {
 public:
  static std::size_t model_bytes(const TrackFinder& finder, NumberType type);
  /// Whether hits on no edge change the scores of others.
  static bool counts_all_hits(const TrackFinder& finder);
  Chain(const TrackFinder& finder, NumberType type, std::span<std::byte> memory);

  ChainMemory lay_out(memory::Layout& layout, std::int32_t num_hits, const HitGraphCapacity& capacity) const;

  HitGraphView build_graph(const HitsView& hits, const HitGraphCapacity& capacity, const ChainMemory& memory,
                           const Execution& execution) const;
  void score(const HitGraphView& graph, const ChainMemory& memory, const Execution& execution) const;
  void find_tracks(const HitGraphView& graph, const ChainMemory& memory, const TracksMemory& tracks,
                   const Execution& execution) const;

 private:
  HitGraphCudaPlan graph_;
  NetworkPlan network_;
  TrackCuts cuts_;
};

}  // namespace starling::track_finder
