#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/layout.h"
#include "starling/neighbors.h"

namespace starling::neighbors::host {

inline constexpr int kLeafSize = 32;  ///< most points of a leaf
inline constexpr int kFanOut = 8;     ///< most children of a node

struct Node {
  std::int32_t parent;  ///< −1 for the root of an event
  std::int32_t child;   ///< first of consecutive children: a node, or ~child is a leaf
};

/// Where a query begins its walk.
struct Start {
  std::int32_t row;
  std::int32_t leaf;  ///< −1 where its event has no points
};

/// A balanced tree of nodes of up to eight children over leaves of up to 32 points, one root per event; all leaves of
/// an event are equally deep. Boxes are tight. Unused slots hold NaN, which no comparison lets through.
template <typename T>
struct Tree {
  int dimensions;
  T* points;                  ///< [leaves, dimensions, kLeafSize]
  std::int32_t* index;        ///< [leaves, kLeafSize] rows of the points
  std::int32_t* leaf_begin;   ///< [events + 1]
  std::int32_t* leaf_parent;  ///< [leaves]
  Node* nodes;                ///< [nodes]
  std::int32_t* node_begin;   ///< [events + 1]; the first node of an event is its root
  T* boxes;                   ///< [nodes, dimensions, 2, kFanOut] low and high ends of the children
  std::int32_t* min_index;    ///< [nodes, kFanOut] smallest row below each child
  std::int32_t* size;         ///< [nodes, kFanOut] points below each child
  Start* starts;              ///< [queries] in walking order: neighbouring queries follow each other
  void* keys;                 ///< scratch of the build
};

/// Lays out a tree for `search`, or measures it. Sets the leaf and node ranges of the events where there is memory.
template <typename T>
void lay_out(const NeighborSearch<T>& search, memory::Layout& layout, Tree<T>& tree);

/// Builds what lay_out() placed and, where the queries are the points and all take part, writes `starts`. Parallel; the
/// result does not depend on the number of threads.
template <typename T>
void build(const NeighborSearch<T>& search, Tree<T>& tree);

}  // namespace starling::neighbors::host
