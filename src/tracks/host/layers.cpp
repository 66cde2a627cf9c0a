#include "tracks/host/layers.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace starling::tracks::host {

LayeredTracks::LayeredTracks(const HitGraphView& graph, std::span<const std::int32_t> rank)
    : graph_(graph),
      rank_(rank),
      out_(group_edges(graph.edges.src, graph.edges.num_nodes)),
      place_(static_cast<std::size_t>(graph.edges.num_nodes), -1) {}

void LayeredTracks::sort_outwards(std::vector<std::int32_t>& track) {
  entries_.clear();
  for (const std::int32_t hit : track) {
    const float radius = graph_.node_features[static_cast<std::size_t>(hit) * kNodeFeatures];
    entries_.push_back({graph_.layer[hit], std::bit_cast<std::uint32_t>(radius), rank_[hit], hit});
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.layer, a.radius, a.rank) < std::tie(b.layer, b.radius, b.rank);
  });
  layers_.clear();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (i == 0 || entries_[i].layer != entries_[i - 1].layer) layers_.push_back(static_cast<std::int32_t>(i));
  }
  std::sort(layers_.begin(), layers_.end(), [&](std::int32_t a, std::int32_t b) {
    return std::tie(entries_[a].radius, entries_[a].rank) < std::tie(entries_[b].radius, entries_[b].rank);
  });
  track.clear();
  for (const std::int32_t first : layers_) {
    for (std::size_t i = first; i < entries_.size() && entries_[i].layer == entries_[first].layer; ++i) {
      track.push_back(entries_[i].hit);
    }
  }
}

int LayeredTracks::count_layers(std::span<const std::int32_t> track) const {
  int layers = 0;
  for (std::size_t i = 0; i < track.size(); ++i) {
    layers += i == 0 || graph_.layer[track[i]] != graph_.layer[track[i - 1]];
  }
  return layers;
}

bool LayeredTracks::is_whole_chain(std::span<const std::int32_t> track) {
  std::int32_t last = -1;  // layer of the track
  for (std::size_t i = 0; i < track.size(); ++i) {
    last += i == 0 || graph_.layer[track[i]] != graph_.layer[track[i - 1]];
    place_[track[i]] = last;
  }
  // Edges from the layer at hand to the next that a chain from the first layer reaches.
  std::vector<std::int32_t> edges, next;
  for (const std::int32_t hit : track) {
    if (place_[hit] > 0) break;
    for (std::int32_t i = out_.row_splits[hit]; i < out_.row_splits[hit + 1]; ++i) {
      if (place_[graph_.edges.dst[out_.edges[i]]] == 1) edges.push_back(out_.edges[i]);
    }
  }
  for (std::int32_t layer = 2; layer <= last; ++layer) {
    next.clear();
    for (const std::int32_t edge : edges) {
      for (std::int32_t i = graph_.triplet_splits[edge]; i < graph_.triplet_splits[edge + 1]; ++i) {
        if (place_[graph_.edges.dst[graph_.triplets[i]]] == layer) next.push_back(graph_.triplets[i]);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    edges.swap(next);
  }
  for (const std::int32_t hit : track) place_[hit] = -1;
  return last >= 2 && !edges.empty();
}

}  // namespace starling::tracks::host
