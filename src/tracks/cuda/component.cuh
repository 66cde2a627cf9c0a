#pragma once

#include <cstdint>

#include "tracks/cuda/candidate.cuh"
#include "tracks/cuda/group.cuh"
#include "tracks/walk.h"

// The candidates of one component, by a warp or a block. A component that is small enough lies in shared memory, where
// each thread has a node or a few: levels and ways are found layer by layer, and after each path all that is left anew,
// since most components are one path and the hits beside it. What is larger, or holds a cycle, is walked by one thread
// in device memory, whose work is close to linear.
namespace starling::tracks::cuda {

/// A component in shared memory. Its nodes are numbered by their place, which orders as they do.
template <int kNodes, int kLinks>
struct Local {
  static constexpr int kMostNodes = kNodes, kMostLinks = kLinks;
  struct Edge {
    std::int16_t src, dst, next_out, next_in;
    float score;
  };
  Entry entries[kNodes];  ///< of a candidate
  double score[kNodes];   ///< of ways
  Edge edges[kLinks];
  std::int32_t node[kNodes], first_out[kNodes], first_in[kNodes];
  std::int32_t level[kNodes], hits[kNodes], next[kNodes];
  std::uint8_t alive[kNodes], on_path[kNodes];
  std::int32_t num_edges, num_entries;

  template <typename Action>
  __device__ void each_out(std::int32_t v, const Action& action) const {
    for (std::int32_t e = first_out[v]; e >= 0; e = edges[e].next_out) action(e, edges[e].dst, edges[e].score);
  }
  template <typename Action>
  __device__ void each_in(std::int32_t v, const Action& action) const {
    for (std::int32_t e = first_in[v]; e >= 0; e = edges[e].next_in) action(e, edges[e].src, edges[e].score);
  }
};

template <typename Group, typename Nodes>
__device__ void load(const Problem& p, const Group& group, Nodes& c, const Component& component) {
  const std::int32_t size = component.size;
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    c.node[i] = p.nodes[component.begin + i];
    c.first_in[i] = -1;
    c.alive[i] = 1;
    c.on_path[i] = 0;
  }
  if (group.thread() == 0) c.num_edges = 0;
  sort(group, c.node, size, [](std::int32_t a, std::int32_t b) { return a < b; });
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    std::int32_t first = -1;
    for (std::int32_t e = p.first_out[c.node[i]]; e >= 0;) {
      const Link link = p.links[e];
      std::int32_t dst = 0, end = size;
      while (end - dst > 1) {
        const std::int32_t middle = (dst + end) / 2;
        if (c.node[middle] <= link.dst)
          dst = middle;
        else
          end = middle;
      }
      const std::int32_t edge = atomicAdd(&c.num_edges, 1);
      c.edges[edge] = {static_cast<std::int16_t>(i), static_cast<std::int16_t>(dst), static_cast<std::int16_t>(first),
                       static_cast<std::int16_t>(atomicExch(&c.first_in[dst], edge)), link.score};
      first = edge;
      e = link.next_out;
    }
    c.first_out[i] = first;
  }
  group.sync();
}

/// The longest ways from an inner end; false where a cycle makes them endless.
template <typename Group, typename Nodes>
__device__ bool find_levels(const Group& group, Nodes& c, std::int32_t size) {
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) c.level[i] = 0;
  for (std::int32_t round = 0; round <= size; ++round) {
    group.sync();
    bool changes = false;
    for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
      std::int32_t level = 0;
      c.each_in(i, [&](std::int32_t, std::int32_t src, float) { level = max(level, c.level[src] + 1); });
      c.hits[i] = level;
      changes |= level != c.level[i];
    }
    if (!group.any(changes)) return true;
    group.sync();
    for (std::int32_t i = group.thread(); i < size; i += Group::kSize) c.level[i] = c.hits[i];
  }
  return false;
}

/// The ways from all nodes that are left, outermost first.
template <typename Group, typename Nodes>
__device__ void find_ways(const Group& group, Nodes& c, std::int32_t size, std::int32_t highest, float walk_add) {
  for (std::int32_t level = highest; level >= 0; --level) {
    for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
      if (c.level[i] != level || c.alive[i] == 0) continue;
      const auto each_out = [&](const auto& action) {
        c.each_out(i, [&](std::int32_t edge, std::int32_t dst, float score) {
          if (c.alive[dst] != 0) action(edge, dst, score);
        });
      };
      const auto way_of = [&](std::int32_t dst) { return Way{c.hits[dst], c.next[dst], c.score[dst]}; };
      const Way way = best_way(each_out, way_of, walk_add);
      c.hits[i] = way.hits;
      c.next[i] = way.next;
      c.score[i] = way.score;
    }
    group.sync();
  }
}

/// The first of the starts: there is one as long as a node is left, since there is no cycle.
template <typename Group, typename Nodes>
__device__ Start best_start(const Group& group, const Nodes& c, std::int32_t size) {
  Start best = no_start();
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    bool starts = c.alive[i] != 0;
    c.each_in(i, [&](std::int32_t, std::int32_t src, float) { starts = starts && c.alive[src] == 0; });
    if (starts) best = first_of(best, {{c.hits[i], -1, c.score[i]}, i});
  }
  return group.best(best);
}

/// Adds the hits beside a path, and those beside them.
template <typename Group, typename Nodes>
__device__ void join_beside(const Group& group, Nodes& c, std::int32_t size, float walk_add) {
  static_assert(Nodes::kMostNodes <= 32 * Group::kSize);
  for (bool added = true; added;) {
    unsigned joining = 0;  // of the thread's own nodes
    for (std::int32_t i = group.thread(), bit = 0; i < size; i += Group::kSize, ++bit) {
      if (c.alive[i] == 0 || c.on_path[i] != 0) continue;
      std::int32_t from_path = 0, to_path = 0, elsewhere = 0;
      const auto count = [&](std::int32_t other, float score, std::int32_t& here) {
        if (c.alive[other] != 0 && score >= walk_add) ++(c.on_path[other] != 0 ? here : elsewhere);
      };
      c.each_in(i, [&](std::int32_t, std::int32_t src, float score) { count(src, score, from_path); });
      c.each_out(i, [&](std::int32_t, std::int32_t dst, float score) { count(dst, score, to_path); });
      if (joins(from_path, to_path, elsewhere)) joining |= 1u << bit;
    }
    added = group.any(joining != 0);
    for (; joining != 0; joining &= joining - 1) c.on_path[group.thread() + (__ffs(joining) - 1) * Group::kSize] = 1;
    group.sync();
  }
}

template <typename Group, typename Nodes>
__device__ void walk_local(const Problem& p, const Group& group, Nodes& c, const Component& component) {
  const std::int32_t size = component.size;
  std::int32_t highest = 0;
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) highest = min(highest, -c.level[i]);
  highest = -group.min(highest);
  bool ways_hold = false;
  // Fewer hits than a track has are no track.
  for (std::int32_t left = size; left >= p.min_hits;) {
    if (!ways_hold) find_ways(group, c, size, highest, p.walk_add);
    const Start start = best_start(group, c, size);
    ways_hold = start.way.hits < p.min_hits;
    if (ways_hold) {  // no way leads to a start
      if (group.thread() == 0) c.alive[start.node] = 0;
      group.sync();
      --left;
      continue;
    }
    if (group.thread() == 0) {
      for (std::int32_t v = start.node; v >= 0; v = c.next[v]) c.on_path[v] = 1;
      c.num_entries = 0;
    }
    group.sync();
    join_beside(group, c, size, p.walk_add);
    for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
      if (c.on_path[i] == 0) continue;
      c.entries[atomicAdd(&c.num_entries, 1)] = entry_of(p, c.node[i], c.level[i]);
      c.on_path[i] = 0;
      c.alive[i] = 0;
    }
    group.sync();
    const std::int32_t hits = c.num_entries;
    finish_candidate(p, group, c.entries, hits, component.begin + size - left);
    group.sync();
    left -= hits;
  }
}

/// In device memory; the first thread walks.
template <typename Group>
__device__ void walk_alone(const Problem& p, const Group& group, const Component& component) {
  const std::int32_t begin = component.begin, size = component.size;
  sort(group, p.nodes + begin, size, [](std::int32_t a, std::int32_t b) { return a < b; });
  std::int32_t tracks = 1;
  if (group.thread() == 0) {
    Walk walk{p.links, p.first_out, p.next_in, p.walk_nodes, p.starts + begin, p.stale + begin, 0, 0, p.walk_add};
    outward_order(walk, p.nodes + begin, size, p.found + begin);
    p.track_ends[begin] = size;
    if (component.walked) {
      tracks = walk_paths(walk, p.found + begin, size, p.min_hits, p.found + begin, p.track_ends + begin);
    }
  }
  group.sync();
  tracks = group.first(tracks);
  for (std::int32_t track = 0, first = begin; track < tracks; ++track) {
    const std::int32_t end = begin + p.track_ends[begin + track];
    for (std::int32_t i = first + group.thread(); i < end; i += Group::kSize) {
      p.entries[i] = entry_of(p, p.found[i], p.walk_nodes[p.found[i]].level);
    }
    finish_candidate(p, group, p.entries + first, end - first, first);
    first = end;
  }
}

template <typename Group, typename Nodes>
__device__ void build_candidates(const Problem& p, const Group& group, Nodes& c, const Component& component) {
  const std::int32_t size = component.size;
  group.sync();  // the component before is done with
  if (!component.walked && p.layered()) {
    Entry* const entries = size <= Nodes::kMostNodes ? c.entries : p.entries + component.begin;
    for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
      entries[i] = entry_of(p, p.nodes[component.begin + i], 0);
    }
    finish_candidate(p, group, entries, size, component.begin);
    return;
  }
  if (size > Nodes::kMostNodes || component.links > static_cast<std::uint32_t>(Nodes::kMostLinks)) {
    walk_alone(p, group, component);
    return;
  }
  load(p, group, c, component);
  if (!find_levels(group, c, size)) {
    walk_alone(p, group, component);
    return;
  }
  if (component.walked) {
    walk_local(p, group, c, component);
    return;
  }
  for (std::int32_t i = group.thread(); i < size; i += Group::kSize) {
    c.entries[i] = entry_of(p, c.node[i], c.level[i]);
  }
  finish_candidate(p, group, c.entries, size, component.begin);
}

}  // namespace starling::tracks::cuda
