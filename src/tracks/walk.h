#pragma once

#include <cstdint>

#include "arithmetic/host_device.h"

// The walkthrough of one component of a graph (starling/tracks.h says what it finds). Host and device share what
// decides: which of two paths goes first, how a path goes on, and which hits join it. Node numbers break ties.
//
// walk_paths() is the whole walk by one thread. The longest path from every node is kept up to date while paths are
// taken away: a removal only concerns the nodes further in that led to it. So the work is close to linear in the number
// of edges, and memory is as many entries as the component has nodes.
namespace starling::tracks {

/// An edge that takes part. The edges out of a node form a list.
struct alignas(16) Link {
  std::int32_t src, dst;
  std::int32_t next_out;  ///< the next one out of src, −1 = none
  float score;
};

/// The path from a node outwards.
struct Way {
  std::int32_t hits;  ///< the node itself included
  std::int32_t next;  ///< the node it goes on to, −1 = it ends here
  double score;       ///< sum over its edges, added from the outer end
};

/// Whether the way of node `a` goes before that of node `b`.
STARLING_HOST_DEVICE bool before(const Way& way_a, std::int32_t a, const Way& way_b, std::int32_t b) {
  if (way_a.hits != way_b.hits) return way_a.hits > way_b.hits;
  if (way_a.score != way_b.score) return way_a.score > way_b.score;
  return a < b;
}

/// The way on from a node: along its best-scored edge, or along one with score >= walk_add where that way goes before.
/// each_out(action) calls action(edge, dst, score) for every edge that may be followed; way_of(dst) is the way from
/// there.
template <typename EachOut, typename WayOf>
STARLING_HOST_DEVICE Way best_way(const EachOut& each_out, const WayOf& way_of, float walk_add) {
  std::int32_t best = -1, best_dst = -1;
  float best_score = 0;
  each_out([&](std::int32_t edge, std::int32_t dst, float score) {
    if (best >= 0 && !(score > best_score || (score == best_score && dst < best_dst))) return;
    best = edge;
    best_dst = dst;
    best_score = score;
  });
  Way chosen{1, -1, 0};
  each_out([&](std::int32_t edge, std::int32_t dst, float score) {
    if (edge != best && !(score >= walk_add)) return;
    const Way onwards = way_of(dst);
    const Way way{onwards.hits + 1, dst, onwards.score + static_cast<double>(score)};
    if (chosen.next < 0 || before(way, dst, chosen, chosen.next)) chosen = way;
  });
  return chosen;
}

/// Whether a hit joins a path beside it, by its edges with score >= walk_add: so many from the path, to it, and from or
/// to other hits.
STARLING_HOST_DEVICE bool joins(std::int32_t from_path, std::int32_t to_path, std::int32_t elsewhere) {
  const std::int32_t here = from_path + to_path;
  return (from_path > 0 && to_path > 0 && here >= elsewhere) || (here > 0 && elsewhere == 0);
}

/// What the walk knows of a node.
struct WalkNode {
  Way way;
  std::int32_t level;     ///< its longest way from an inner end
  std::int32_t inner;     ///< edges from further in that may still be used
  std::int32_t first_in;  ///< the first edge into it, −1 = none
  std::int32_t place;     ///< in the heap of starts, −1 = not there
  bool alive, queued, on_path;
};

struct Walk {
  const Link* links;              ///< [edges]
  const std::int32_t* first_out;  ///< [nodes] the first edge out of each, −1 = none
  std::int32_t* next_in;          ///< [edges] the next edge into the same node
  WalkNode* nodes;                ///< [nodes]
  /// Heaps, each of as many entries as the component has nodes.
  std::int32_t *starts, *stale;
  std::int32_t num_starts, num_stale;
  float walk_add;
};

/// Whether `a` stands before `b` in the order of levels.
STARLING_HOST_DEVICE bool further_in(const Walk& walk, std::int32_t a, std::int32_t b) {
  const std::int32_t level_a = walk.nodes[a].level, level_b = walk.nodes[b].level;
  return level_a != level_b ? level_a < level_b : a < b;
}

/// Whether the walk may use an edge: both ends are there, and it closes no cycle.
STARLING_HOST_DEVICE bool leads(const Walk& walk, std::int32_t src, std::int32_t dst) {
  return walk.nodes[src].alive && walk.nodes[dst].alive && further_in(walk, src, dst);
}

template <typename Action>
STARLING_HOST_DEVICE void for_each_out(const Walk& walk, std::int32_t node, const Action& action) {
  for (std::int32_t e = walk.first_out[node]; e >= 0; e = walk.links[e].next_out) action(e, walk.links[e]);
}
template <typename Action>
STARLING_HOST_DEVICE void for_each_in(const Walk& walk, std::int32_t node, const Action& action) {
  for (std::int32_t e = walk.nodes[node].first_in; e >= 0; e = walk.next_in[e]) action(e, walk.links[e]);
}

/// Sets the levels of a component's nodes, which ascend, and writes them to `order` by (level, node). Edges lead
/// onwards in it; where some form a cycle, the smallest of the nodes that wait for each other goes first.
STARLING_HOST_DEVICE void outward_order(Walk& walk, const std::int32_t* nodes, std::int32_t size, std::int32_t* order) {
  for (std::int32_t i = 0; i < size; ++i) walk.nodes[nodes[i]] = {{1, -1, 0}, 0, 0, -1, -1, true, false, false};
  for (std::int32_t i = 0; i < size; ++i) {
    for_each_out(walk, nodes[i], [&](std::int32_t e, const Link& link) {
      WalkNode& dst = walk.nodes[link.dst];
      walk.next_in[e] = dst.first_in;
      dst.first_in = e;
      ++dst.inner;
    });
  }
  // `order` is the queue at first, `queued` says who was in it, and `inner` counts the edges from those who were not.
  std::int32_t num_ready = 0, first_waiting = 0;
  const auto take = [&](std::int32_t node) {
    walk.nodes[node].queued = true;
    order[num_ready++] = node;
  };
  for (std::int32_t i = 0; i < size; ++i) {
    if (walk.nodes[nodes[i]].inner == 0) take(nodes[i]);
  }
  for (std::int32_t i = 0; i < size; ++i) {
    if (i == num_ready) {
      while (walk.nodes[nodes[first_waiting]].queued) ++first_waiting;
      take(nodes[first_waiting]);
    }
    const std::int32_t level = walk.nodes[order[i]].level + 1;
    for_each_out(walk, order[i], [&](std::int32_t, const Link& link) {
      WalkNode& dst = walk.nodes[link.dst];
      if (dst.queued) return;
      if (dst.level < level) dst.level = level;
      if (--dst.inner == 0) take(link.dst);
    });
  }
  std::int32_t* const end = walk.stale;  // of each level's nodes
  for (std::int32_t i = 0; i < size; ++i) end[i] = 0;
  for (std::int32_t i = 0; i < size; ++i) ++end[walk.nodes[nodes[i]].level];
  for (std::int32_t i = 1; i < size; ++i) end[i] += end[i - 1];
  for (std::int32_t i = size - 1; i >= 0; --i) {
    walk.nodes[nodes[i]].queued = false;
    order[--end[walk.nodes[nodes[i]].level]] = nodes[i];
  }
}

/// Moves entry i of a binary heap, whose first entry goes before all others, to where it belongs. moved(node, i) is
/// told of each change.
template <typename Before, typename Moved>
STARLING_HOST_DEVICE void heap_place(std::int32_t* heap, std::int32_t size, std::int32_t i, const Before& first,
                                     const Moved& moved) {
  const std::int32_t node = heap[i];
  for (; i > 0 && first(node, heap[(i - 1) / 2]); i = (i - 1) / 2) {
    heap[i] = heap[(i - 1) / 2];
    moved(heap[i], i);
  }
  while (size / 2 > i) {  // it has a child
    std::int32_t child = 2 * i + 1;
    if (child + 1 < size && first(heap[child + 1], heap[child])) ++child;
    if (!first(heap[child], node)) break;
    heap[i] = heap[child];
    moved(heap[i], i);
    i = child;
  }
  heap[i] = node;
  moved(node, i);
}

/// Puts entry i of the heap of starts where its way belongs.
STARLING_HOST_DEVICE void place_start(Walk& walk, std::int32_t i) {
  heap_place(
      walk.starts, walk.num_starts, i,
      [&](std::int32_t a, std::int32_t b) { return before(walk.nodes[a].way, a, walk.nodes[b].way, b); },
      [&](std::int32_t node, std::int32_t place) { walk.nodes[node].place = place; });
}

/// Makes a node without an edge from further in a start, or notes that its way has changed.
STARLING_HOST_DEVICE void offer(Walk& walk, std::int32_t node) {
  if (walk.nodes[node].place < 0) {
    walk.nodes[node].place = walk.num_starts;
    walk.starts[walk.num_starts++] = node;
  }
  place_start(walk, walk.nodes[node].place);
}

STARLING_HOST_DEVICE std::int32_t take_start(Walk& walk) {
  const std::int32_t node = walk.starts[0];
  walk.nodes[node].place = -1;
  walk.starts[0] = walk.starts[--walk.num_starts];
  if (walk.num_starts > 0) place_start(walk, 0);
  return node;
}

/// Puts entry i of the heap of nodes to look at again where it belongs: outermost first.
STARLING_HOST_DEVICE void place_stale(Walk& walk, std::int32_t i) {
  heap_place(
      walk.stale, walk.num_stale, i, [&](std::int32_t a, std::int32_t b) { return further_in(walk, b, a); },
      [](std::int32_t, std::int32_t) {});
}

STARLING_HOST_DEVICE void look_again_further_in(Walk& walk, std::int32_t node) {
  for_each_in(walk, node, [&](std::int32_t, const Link& link) {
    WalkNode& src = walk.nodes[link.src];
    if (!src.alive || src.queued || !further_in(walk, link.src, node)) return;
    src.queued = true;
    walk.stale[walk.num_stale++] = link.src;
    place_stale(walk, walk.num_stale - 1);
  });
}

STARLING_HOST_DEVICE Way way_from(const Walk& walk, std::int32_t node) {
  const auto each_out = [&](const auto& action) {
    for_each_out(walk, node, [&](std::int32_t e, const Link& link) {
      if (leads(walk, node, link.dst)) action(e, link.dst, link.score);
    });
  };
  return best_way(
      each_out, [&](std::int32_t dst) { return walk.nodes[dst].way; }, walk.walk_add);
}

/// Appends the hits beside a path, and those beside them; returns the new size.
STARLING_HOST_DEVICE std::int32_t join_beside(Walk& walk, std::int32_t* path, std::int32_t size) {
  for (std::int32_t i = 0; i < size; ++i) walk.nodes[path[i]].on_path = true;
  for (std::int32_t begin = 0; begin < size;) {
    const std::int32_t end = size;
    const auto try_to_add = [&](std::int32_t hit) {
      WalkNode& node = walk.nodes[hit];
      if (!node.alive || node.on_path || node.queued) return;
      std::int32_t from_path = 0, to_path = 0, elsewhere = 0;
      const auto count = [&](std::int32_t other, float score, std::int32_t& here) {
        if (walk.nodes[other].alive && score >= walk.walk_add) ++(walk.nodes[other].on_path ? here : elsewhere);
      };
      for_each_in(walk, hit, [&](std::int32_t, const Link& link) { count(link.src, link.score, from_path); });
      for_each_out(walk, hit, [&](std::int32_t, const Link& link) { count(link.dst, link.score, to_path); });
      if (!joins(from_path, to_path, elsewhere)) return;
      node.queued = true;
      path[size++] = hit;
    };
    for (std::int32_t i = begin; i < end; ++i) {
      for_each_in(walk, path[i], [&](std::int32_t, const Link& link) { try_to_add(link.src); });
      for_each_out(walk, path[i], [&](std::int32_t, const Link& link) { try_to_add(link.dst); });
    }
    for (std::int32_t i = end; i < size; ++i) {
      walk.nodes[path[i]].queued = false;
      walk.nodes[path[i]].on_path = true;
    }
    begin = end;
  }
  return size;
}

STARLING_HOST_DEVICE void take_away(Walk& walk, const std::int32_t* path, std::int32_t size) {
  for (std::int32_t i = 0; i < size; ++i) walk.nodes[path[i]].alive = false;
  for (std::int32_t i = 0; i < size; ++i) {
    const std::int32_t node = path[i];
    for_each_out(walk, node, [&](std::int32_t, const Link& link) {
      WalkNode& dst = walk.nodes[link.dst];
      if (dst.alive && further_in(walk, node, link.dst) && --dst.inner == 0) offer(walk, link.dst);
    });
    look_again_further_in(walk, node);
  }
  // Outermost first, so each way is settled before those that build on it.
  while (walk.num_stale > 0) {
    const std::int32_t node = walk.stale[0];
    walk.stale[0] = walk.stale[--walk.num_stale];
    if (walk.num_stale > 0) place_stale(walk, 0);
    walk.nodes[node].queued = false;
    const Way way = way_from(walk, node), old = walk.nodes[node].way;
    if (way.hits == old.hits && way.next == old.next && way.score == old.score) continue;
    walk.nodes[node].way = way;
    if (walk.nodes[node].inner == 0) offer(walk, node);
    look_again_further_in(walk, node);
  }
}

/// Walks a component of `size` nodes, which ascend. Writes the nodes of each track of at least `min_hits` to `found`,
/// in no certain order, and where it ends there to `ends`, both of `size` entries; returns the number of tracks. A path
/// that is too short gives up its first hit only. outward_order() comes before; `found` may be its `order`.
STARLING_HOST_DEVICE std::int32_t walk_paths(Walk& walk, const std::int32_t* order, std::int32_t size,
                                             std::int32_t min_hits, std::int32_t* found, std::int32_t* ends) {
  walk.num_starts = walk.num_stale = 0;
  for (std::int32_t i = size - 1; i >= 0; --i) {
    const std::int32_t node = order[i];
    walk.nodes[node].way = way_from(walk, node);
    walk.nodes[node].inner = 0;
    for_each_in(walk, node, [&](std::int32_t, const Link& link) {
      walk.nodes[node].inner += further_in(walk, link.src, node) ? 1 : 0;
    });
    if (walk.nodes[node].inner == 0) offer(walk, node);
  }
  std::int32_t used = 0, tracks = 0;
  while (walk.num_starts > 0) {
    const std::int32_t start = take_start(walk);
    if (!walk.nodes[start].alive) continue;
    std::int32_t* const path = found + used;
    std::int32_t hits = 1;
    path[0] = start;
    const bool is_track = walk.nodes[start].way.hits >= min_hits;
    if (is_track) {
      for (std::int32_t v = walk.nodes[start].way.next; v >= 0; v = walk.nodes[v].way.next) path[hits++] = v;
      hits = join_beside(walk, path, hits);
    }
    take_away(walk, path, hits);
    if (!is_track) continue;
    used += hits;
    ends[tracks++] = used;
  }
  return tracks;
}

}  // namespace starling::tracks
