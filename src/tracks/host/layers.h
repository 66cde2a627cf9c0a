#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "starling/graph.h"
#include "starling/hit_graph.h"

namespace starling::tracks::host {

/// What the layers and triplets of a checked hit graph say about candidates.
class LayeredTracks {
 public:
  /// `rank`: the place of each node in the graph's order.
  LayeredTracks(const HitGraphView& graph, std::span<const std::int32_t> rank);

  /// Orders hits as starling/tracks.h says. The functions below want them so.
  void sort_outwards(std::vector<std::int32_t>& track);
  int count_layers(std::span<const std::int32_t> track) const;
  /// As TrackCuts::chain_layers says.
  bool is_whole_chain(std::span<const std::int32_t> track);

 private:
  struct Entry {
    std::int32_t layer;
    std::uint32_t radius;  // bits of a float that is not negative, which order as the float does
    std::int32_t rank, hit;
  };

  HitGraphView graph_;
  std::span<const std::int32_t> rank_;
  Csr out_;                          // edges out of each node
  std::vector<std::int32_t> place_;  // of each node: which of the track's layers it is on, −1 = not on the track
  std::vector<Entry> entries_;
  std::vector<std::int32_t> layers_;  // row splits of entries_
};

}  // namespace starling::tracks::host
