#pragma once

#include <cstdint>

#include "cuda/block.cuh"
#include "tracks/cuda/group.cuh"
#include "tracks/walk.h"

// From the nodes of a candidate to a track: the order of its hits, and the chain cut.
namespace starling::tracks::cuda {

using starling::cuda::kScanned;

/// A component that is long enough for a track.
struct alignas(16) Component {
  std::int32_t begin, size;  ///< its nodes are nodes[begin] .. nodes[begin + size - 1]
  std::uint32_t links;
  bool walked;  ///< or taken as it is
};

/// One hit of a candidate.
struct Entry {
  std::uint32_t key[3];  ///< sorted by these
  std::uint32_t layer_key[2];
  std::int32_t hit, layer;

  __device__ bool operator<(const Entry& other) const {
    if (key[0] != other.key[0]) return key[0] < other.key[0];
    return key[1] != other.key[1] ? key[1] < other.key[1] : key[2] < other.key[2];
  }
};

struct Counters {
  unsigned long long listed;            ///< 2^32 small components + entries of `nodes`
  std::int32_t large;                   ///< components
  std::int32_t next_small, next_large;  ///< taken from each list, beyond the first ones
};

/// Arguments and workspace. Nodes are numbered by their place in the graph's order, where it has one, so that ties are
/// broken by it.
struct Problem {
  // The graph, as the caller has it: arrays by hit.
  const std::int32_t *src, *dst;
  const std::int32_t* count;  ///< null: `capacity` edges
  std::int32_t num_nodes, capacity, num_triplets;
  const std::int32_t *order, *layer, *triplet_splits, *triplets;  ///< null: nothing is known of layers
  const float *node_features, *scores;
  std::int32_t* bad_row;

  float cut, walk_add;
  std::int32_t min_hits, chain_layers;
  bool walkthrough, junction_removal;

  Counters* counters;
  std::int32_t* rank;         ///< [hits] node of each; null without an order
  std::int32_t* parent;       ///< [nodes] towards the smallest node of the component
  std::uint32_t* degree;      ///< [nodes]
  unsigned long long* total;  ///< [nodes] of a component, at its smallest node: 2^32 nodes + sum of degrees
  std::uint8_t* junction;     ///< [nodes] of a component, at its smallest node: a node has over two edges
  unsigned long long *best_out, *best_in;  ///< [nodes] for junction removal: score and other end of an edge
  Link* links;                             ///< [edges] those that take part
  std::int32_t* first_out;                 ///< [nodes]
  std::int32_t *edge_first, *edge_next;  ///< [hits], [edges] lists of all edges out of a hit; null without a chain cut
  std::uint8_t* reached;                 ///< [edges] by a chain
  std::int32_t* owner;                   ///< [hits] the candidate that the hit is on
  std::int32_t *position, *begin, *nodes;  ///< [nodes] place in the component; where that begins; nodes by component
  Component* components;                   ///< [nodes] small ones from the front, large ones from the back
  std::int32_t* track_hits;                ///< [nodes] hits of tracks, at the places of their nodes in `nodes`
  std::int32_t* track_begin;               ///< [hits] of a track, at its smallest hit
  std::int32_t* track_size;                ///< [hits] of a track, at its smallest hit; 0 = none
  std::int32_t *tracks_of, *hits_of;       ///< tracks, and their hits, by kScanned smallest hits

  // Of components that one thread walks.
  WalkNode* walk_nodes;                               ///< [nodes]
  std::int32_t* next_in;                              ///< [edges]
  std::int32_t *starts, *stale, *found, *track_ends;  ///< [nodes]
  Entry* entries;                                     ///< [nodes]

  __device__ bool layered() const { return order != nullptr; }
  __device__ std::int32_t num_edges() const {
    if (count == nullptr) return capacity;
    return *count < 0 ? 0 : *count < capacity ? *count : capacity;
  }
};

__device__ inline Entry entry_of(const Problem& p, std::int32_t node, std::int32_t level) {
  if (!p.layered()) return {{static_cast<std::uint32_t>(level), static_cast<std::uint32_t>(node), 0}, {}, node, 0};
  const std::int32_t hit = p.order[node], layer = p.layer[hit];
  // The bits of a float that is not negative order as the float does.
  const std::uint32_t radius = __float_as_uint(p.node_features[std::int64_t{hit} * kNodeFeatures]);
  return {{static_cast<std::uint32_t>(layer) ^ 0x80000000u, radius, static_cast<std::uint32_t>(node)}, {}, hit, layer};
}

/// Puts entries that are sorted by layer into the order of a track: a layer stands where its innermost hit does.
template <typename Group>
__device__ void sort_layers(const Group& group, Entry* entries, std::int32_t size) {
  group.sync();
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    std::int32_t low = 0, high = i;  // the first entry of its layer
    while (low < high) {
      const std::int32_t middle = low + (high - low) / 2;
      if (entries[middle].layer < entries[i].layer)
        low = middle + 1;
      else
        high = middle;
    }
    entries[i].layer_key[0] = entries[low].key[1];
    entries[i].layer_key[1] = entries[low].key[2];
  }
  group.sync();
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    entries[i].key[0] = entries[i].layer_key[0];
    entries[i].key[1] = entries[i].layer_key[1];
    entries[i].key[2] = static_cast<std::uint32_t>(i);
  }
  sort(group, entries, size, [](const Entry& a, const Entry& b) { return a < b; });
}

template <typename Group>
__device__ std::int32_t count_layers(const Group& group, const Entry* entries, std::int32_t size) {
  std::int32_t changes = 0;
  for (std::int32_t i = group.thread() + 1; i < size; i += Group::kSize) {
    changes += entries[i].layer != entries[i - 1].layer ? 1 : 0;
  }
  return group.sum(changes) + 1;
}

/// Where the layer of the entry `begin` ends.
template <typename Group>
__device__ std::int32_t end_of_layer(const Group& group, const Entry* entries, std::int32_t size, std::int32_t begin) {
  std::int32_t end = size;
  for (std::int32_t i = begin + group.thread(); i < end; i += Group::kSize) {
    if (entries[i].layer != entries[begin].layer) end = i;
  }
  return group.min(end);
}

/// As TrackCuts::chain_layers says. `id` is of this candidate alone. An edge belongs to one candidate, so that one flag
/// for each says whether a chain from the first layer reaches it.
template <typename Group>
__device__ bool is_whole_chain(const Problem& p, const Group& group, const Entry* entries, std::int32_t size,
                               std::int32_t layers, std::int32_t id) {
  if (layers < 3) return false;
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) p.owner[entries[i].hit] = id;
  group.sync();
  const auto ends_on = [&](std::int32_t edge, std::int32_t layer) {
    const std::int32_t hit = p.dst[edge];
    return static_cast<std::uint32_t>(hit) < static_cast<std::uint32_t>(p.num_nodes) && p.owner[hit] == id &&
           p.layer[hit] == layer;
  };
  const std::int32_t num_edges = p.num_edges();
  // Hits of the layer from which the edges at hand come, and the layer to which the next ones lead.
  std::int32_t begin = 0, end = end_of_layer(group, entries, size, 0), next = end;
  for (std::int32_t i = begin + group.thread(); i < end; i += Group::kSize) {
    for (std::int32_t e = p.edge_first[entries[i].hit]; e >= 0; e = p.edge_next[e]) {
      if (ends_on(e, entries[next].layer)) p.reached[e] = 1;
    }
  }
  for (std::int32_t layer = 2; layer < layers; ++layer) {
    group.sync();
    next = end_of_layer(group, entries, size, next);
    bool goes_on = false;
    for (std::int32_t i = begin + group.thread(); i < end; i += Group::kSize) {
      for (std::int32_t e = p.edge_first[entries[i].hit]; e >= 0; e = p.edge_next[e]) {
        if (p.reached[e] == 0) continue;
        const std::int32_t last = min(p.triplet_splits[e + 1], p.num_triplets);
        for (std::int32_t t = max(p.triplet_splits[e], 0); t < last; ++t) {
          const std::int32_t onwards = p.triplets[t];
          if (onwards < 0 || onwards >= num_edges || !ends_on(onwards, entries[next].layer)) continue;
          p.reached[onwards] = 1;
          goes_on = true;
        }
      }
    }
    if (!group.any(goes_on)) return false;
    begin = end;
    end = next;
  }
  return true;
}

/// Makes a track of a candidate's entries, unless the chain cut drops it. Its hits go to track_hits[place] and on: that
/// place is of this candidate alone.
template <typename Group>
__device__ void finish_candidate(const Problem& p, const Group& group, Entry* entries, std::int32_t size,
                                 std::int32_t place) {
  sort(group, entries, size, [](const Entry& a, const Entry& b) { return a < b; });
  if (p.layered()) {
    sort_layers(group, entries, size);
    if (p.chain_layers > 0) {
      const std::int32_t layers = count_layers(group, entries, size);
      if (layers <= p.chain_layers && !is_whole_chain(p, group, entries, size, layers, place)) return;
    }
  }
  std::int32_t smallest = p.num_nodes;
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    p.track_hits[place + i] = entries[i].hit;
    smallest = min(smallest, entries[i].hit);
  }
  smallest = group.min(smallest);
  if (group.thread() == 0) {
    p.track_begin[smallest] = place;
    p.track_size[smallest] = size;
    atomicAdd(p.tracks_of + smallest / kScanned, 1);
    atomicAdd(p.hits_of + smallest / kScanned, size);
  }
}

}  // namespace starling::tracks::cuda
