#include "neighbors/host/tree.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_invoke.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "neighbors/check.h"
#include "neighbors/formulas.h"

namespace starling::neighbors::host {
namespace {

constexpr std::int32_t kParallelPoints = 4096;  // below, a task costs more than it saves
constexpr std::int32_t kSample = 512;           // points looked at to choose the dimension of a split

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Most leaves below one child of a node with this many leaves: the power of kFanOut below their number.
std::int32_t child_capacity(std::int32_t leaves) {
  std::int32_t capacity = 1;
  while (static_cast<std::int64_t>(capacity) * kFanOut < leaves) capacity *= kFanOut;
  return capacity;
}

/// Nodes of a tree of this many leaves. Leaves are dealt evenly to the children, so that only two sizes occur in a
/// node.
std::int32_t count_nodes(std::int32_t leaves) {
  if (leaves <= kFanOut) return leaves > 0 ? 1 : 0;
  const auto children = static_cast<std::int32_t>(ceil_div(leaves, child_capacity(leaves)));
  const std::int32_t larger = leaves % children;
  return 1 + larger * count_nodes(leaves / children + 1) + (children - larger) * count_nodes(leaves / children);
}

// Points are partitioned as keys (coordinate, row): unique, so that ties are split by row and the outcome is unique.
template <typename T>
struct Key;

template <>
struct Key<float> {
  std::uint64_t value;  // the coordinate's bits in ascending order, then the row
  void set_row(std::int32_t row) { value = static_cast<std::uint32_t>(row); }
  void set_coordinate(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x == 0 ? 0.0F : x);
    const std::uint32_t ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
    value = (static_cast<std::uint64_t>(ascending) << 32) | (value & 0xFFFFFFFFU);
  }
  std::int32_t row() const { return static_cast<std::int32_t>(value & 0xFFFFFFFFU); }
  bool operator<(const Key& other) const { return value < other.value; }
};

template <>
struct Key<double> {
  double coordinate;
  std::int32_t index;
  void set_row(std::int32_t row) { index = row; }
  void set_coordinate(double x) { coordinate = x; }
  std::int32_t row() const { return index; }
  bool operator<(const Key& other) const {
    return coordinate != other.coordinate ? coordinate < other.coordinate : index < other.index;
  }
};

/// As std::nth_element: *nth becomes what sorting would put there, the smaller before it. Faster, since it partitions
/// without branches on the keys, by a pivot that a sample puts just beyond nth.
template <typename T>
void select(Key<T>* first, Key<T>* nth, Key<T>* last) {
  constexpr std::ptrdiff_t kSampleSize = 32;
  while (last - first > 4 * kSampleSize) {
    Key<T> sample[kSampleSize];
    const std::ptrdiff_t size = last - first;
    for (std::ptrdiff_t i = 0; i < kSampleSize; ++i) sample[i] = first[i * size / kSampleSize];
    std::sort(sample, sample + kSampleSize);
    // Beyond nth from its side of the middle, so that most of the range is cut off.
    const std::ptrdiff_t rank = (nth - first) * kSampleSize / size;
    const std::ptrdiff_t aim = std::clamp(rank + (2 * rank < kSampleSize ? 2 : -2), std::ptrdiff_t{1}, kSampleSize - 2);
    const Key<T> pivot = sample[aim];
    Key<T>* end = first;  // of the keys before the pivot
    for (Key<T>* i = first; i != last; ++i) {
      const Key<T> key = *i;
      *i = *end;
      *end = key;
      end += key < pivot ? 1 : 0;
    }
    if (nth < end) {
      last = end;
    } else {
      first = end;
    }
  }
  std::nth_element(first, nth, last);
}

/// Builds the tree of one event.
template <typename T>
class EventBuilder {
 public:
  EventBuilder(const NeighborSearch<T>& search, Tree<T>& tree, std::int32_t event, std::int32_t first_key,
               std::int32_t num_keys)
      : search_(search),
        tree_(tree),
        keys_(static_cast<Key<T>*>(tree.keys)),
        first_key_(first_key),
        num_keys_(num_keys),
        first_leaf_(tree.leaf_begin[event]),
        num_leaves_(tree.leaf_begin[event + 1] - first_leaf_) {}

  void run(std::int32_t root) const {
    if (num_leaves_ > 0) build_node({root, 0, num_leaves_, root + 1}, -1, 0);
  }

 private:
  struct Subtree {
    std::int32_t node;
    std::int32_t leaf;    // first, within the event
    std::int32_t leaves;  // number
    std::int32_t free;    // first id for the nodes below
  };

  /// Points are dealt evenly to the leaves: the first key of a leaf.
  std::int32_t key_of(std::int32_t leaf) const {
    return first_key_ + static_cast<std::int32_t>(static_cast<std::int64_t>(leaf) * num_keys_ / num_leaves_);
  }

  T* box(std::int32_t node, int dimension) const {
    return tree_.boxes + (static_cast<std::size_t>(node) * tree_.dimensions + dimension) * 2 * kFanOut;
  }
  std::int32_t* min_index(std::int32_t node) const {
    return tree_.min_index + static_cast<std::size_t>(node) * kFanOut;
  }
  std::int32_t* size(std::int32_t node) const { return tree_.size + static_cast<std::size_t>(node) * kFanOut; }

  void build_node(const Subtree& tree, std::int32_t parent, int slot) const {
    const std::int32_t capacity = child_capacity(tree.leaves);
    const auto children = static_cast<int>(ceil_div(tree.leaves, capacity));
    tree_.nodes[tree.node] = {parent, capacity == 1 ? ~(first_leaf_ + tree.leaf) : tree.free};
    for (int d = 0; d < tree_.dimensions; ++d) {
      std::fill_n(box(tree.node, d), 2 * kFanOut, std::numeric_limits<T>::quiet_NaN());
    }
    std::fill_n(min_index(tree.node), kFanOut, std::numeric_limits<std::int32_t>::max());
    std::fill_n(size(tree.node), kFanOut, 0);
    build_children(tree, children, 0, children, -1);
    if (parent < 0) return;
    for (int d = 0; d < tree_.dimensions; ++d) {
      const T* const low = box(tree.node, d);
      box(parent, d)[slot] = *std::min_element(low, low + children);
      box(parent, d)[kFanOut + slot] = *std::max_element(low + kFanOut, low + kFanOut + children);
    }
    min_index(parent)[slot] = *std::min_element(min_index(tree.node), min_index(tree.node) + children);
    size(parent)[slot] = key_of(tree.leaf + tree.leaves) - key_of(tree.leaf);
  }

  std::int32_t child_leaf(const Subtree& tree, int children, int child) const {
    return tree.leaf + static_cast<std::int32_t>(static_cast<std::int64_t>(tree.leaves) * child / children);
  }

  /// Children begin..end−1 of a node, by halves. The keys stand for dimension `sorted_by`, or none.
  void build_children(const Subtree& tree, int children, int begin, int end, int sorted_by) const {
    const std::int32_t leaf = child_leaf(tree, children, begin);
    const std::int32_t end_leaf = child_leaf(tree, children, end);
    if (end - begin == 1) {
      if (tree.leaves <= kFanOut) {
        fill_leaf(leaf, tree.node, begin);
        return;
      }
      std::int32_t free = tree.free + children;
      for (int child = 0; child < begin; ++child) {
        free += count_nodes(child_leaf(tree, children, child + 1) - child_leaf(tree, children, child)) - 1;
      }
      build_node({tree.free + begin, leaf, end_leaf - leaf, free}, tree.node, begin);
      return;
    }
    const int middle = (begin + end) / 2;
    const std::int32_t first = key_of(leaf);
    const std::int32_t last = key_of(end_leaf);
    const int dimension = widest(first, last);
    if (dimension != sorted_by) {
      for (std::int32_t i = first; i < last; ++i) {
        keys_[i].set_coordinate(
            search_.points[static_cast<std::size_t>(keys_[i].row()) * tree_.dimensions + dimension]);
      }
    }
    select(keys_ + first, keys_ + key_of(child_leaf(tree, children, middle)), keys_ + last);
    const auto lower = [&] { build_children(tree, children, begin, middle, dimension); };
    const auto upper = [&] { build_children(tree, children, middle, end, dimension); };
    if (last - first >= kParallelPoints) {
      tbb::parallel_invoke(lower, upper);
    } else {
      lower();
      upper();
    }
  }

  /// The dimension in which a sample of the points spreads widest. Its arrays should not be in every frame of the
  /// recursion that calls it.
  [[gnu::noinline]] int widest(std::int32_t first, std::int32_t last) const {
    T low[kMaxDimensions];
    T high[kMaxDimensions];
    std::fill_n(low, tree_.dimensions, std::numeric_limits<T>::infinity());
    std::fill_n(high, tree_.dimensions, -std::numeric_limits<T>::infinity());
    const std::int32_t step = std::max(1, (last - first) / kSample);
    for (std::int64_t i = first; i < last; i += step) {
      const T* const point = search_.points + static_cast<std::size_t>(keys_[i].row()) * tree_.dimensions;
      for (int d = 0; d < tree_.dimensions; ++d) {
        low[d] = std::min(low[d], point[d]);
        high[d] = std::max(high[d], point[d]);
      }
    }
    int best = 0;
    for (int d = 1; d < tree_.dimensions; ++d) {
      // Halved: the difference of two finite numbers may not be finite.
      if (high[d] / 2 - low[d] / 2 > high[best] / 2 - low[best] / 2) best = d;
    }
    return best;
  }

  void fill_leaf(std::int32_t local, std::int32_t node, int slot) const {
    const std::int32_t leaf = first_leaf_ + local;
    const std::int32_t first = key_of(local);
    const std::int32_t points = key_of(local + 1) - first;
    tree_.leaf_parent[leaf] = node;
    std::int32_t* const index = tree_.index + static_cast<std::size_t>(leaf) * kLeafSize;
    for (std::int32_t i = 0; i < points; ++i) index[i] = keys_[first + i].row();
    std::sort(index, index + points);
    std::fill(index + points, index + kLeafSize, -1);
    min_index(node)[slot] = index[0];
    size(node)[slot] = points;
    for (int d = 0; d < tree_.dimensions; ++d) {
      T* const x = tree_.points + (static_cast<std::size_t>(leaf) * tree_.dimensions + d) * kLeafSize;
      for (std::int32_t i = 0; i < points; ++i) {
        x[i] = search_.points[static_cast<std::size_t>(index[i]) * tree_.dimensions + d];
      }
      std::fill(x + points, x + kLeafSize, std::numeric_limits<T>::quiet_NaN());
      const auto [low, high] = std::minmax_element(x, x + points);
      box(node, d)[slot] = *low;
      box(node, d)[kFanOut + slot] = *high;
    }
    if (search_.queries == nullptr && search_.direction == nullptr) {
      for (std::int32_t i = 0; i < points; ++i) tree_.starts[first + i] = {index[i], leaf};
    }
  }

  const NeighborSearch<T>& search_;
  Tree<T>& tree_;
  Key<T>* keys_;
  std::int32_t first_key_;
  std::int32_t num_keys_;
  std::int32_t first_leaf_;
  std::int32_t num_leaves_;
};

}  // namespace

template <typename T>
void lay_out(const NeighborSearch<T>& search, memory::Layout& layout, Tree<T>& tree) {
  const bool measures = layout.measures();
  const auto events = static_cast<std::size_t>(search.num_events);
  tree.leaf_begin = layout.take<std::int32_t>(events + 1);
  tree.node_begin = layout.take<std::int32_t>(events + 1);
  std::size_t leaves = 0;
  std::size_t nodes = 0;
  for (std::size_t event = 0; event < events; ++event) {
    const std::int32_t begin = search.row_splits != nullptr ? search.row_splits[event] : 0;
    const std::int32_t end = search.row_splits != nullptr ? search.row_splits[event + 1] : search.num_points;
    std::int32_t size = end - begin;
    // Measured as if all could be neighbours: fewer points never take more nodes.
    if (!measures && search.direction != nullptr) {
      size = 0;
      for (std::int32_t row = begin; row < end; ++row) size += is_neighbor(search.direction, row) ? 1 : 0;
    }
    const auto event_leaves = static_cast<std::int32_t>(ceil_div(size, kLeafSize));
    if (!measures) {
      tree.leaf_begin[event] = static_cast<std::int32_t>(leaves);
      tree.node_begin[event] = static_cast<std::int32_t>(nodes);
    }
    leaves += static_cast<std::size_t>(event_leaves);
    nodes += static_cast<std::size_t>(count_nodes(event_leaves));
  }
  if (!measures) {
    tree.leaf_begin[events] = static_cast<std::int32_t>(leaves);
    tree.node_begin[events] = static_cast<std::int32_t>(nodes);
  }
  tree.dimensions = search.dimensions;
  const auto dimensions = static_cast<std::size_t>(search.dimensions);
  tree.points = layout.take<T>(leaves * dimensions * kLeafSize);
  tree.index = layout.take<std::int32_t>(leaves * kLeafSize);
  tree.leaf_parent = layout.take<std::int32_t>(leaves);
  tree.nodes = layout.take<Node>(nodes);
  tree.boxes = layout.take<T>(nodes * dimensions * 2 * kFanOut);
  tree.min_index = layout.take<std::int32_t>(nodes * kFanOut);
  tree.size = layout.take<std::int32_t>(nodes * kFanOut);
  tree.starts = layout.take<Start>(static_cast<std::size_t>(num_rows(search)));
  tree.keys = layout.take<Key<T>>(static_cast<std::size_t>(search.num_points));
}

template <typename T>
void build(const NeighborSearch<T>& search, Tree<T>& tree) {
  auto* const keys = static_cast<Key<T>*>(tree.keys);
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, search.num_events), [&](const auto& events) {
    for (std::int32_t event = events.begin(); event < events.end(); ++event) {
      const std::int32_t begin = search.row_splits != nullptr ? search.row_splits[event] : 0;
      const std::int32_t end = search.row_splits != nullptr ? search.row_splits[event + 1] : search.num_points;
      std::int32_t size = 0;
      for (std::int32_t row = begin; row < end; ++row) {
        if (is_neighbor(search.direction, row)) keys[begin + size++].set_row(row);
      }
      EventBuilder<T>(search, tree, event, begin, size).run(tree.node_begin[event]);
    }
  });
}

template void lay_out(const NeighborSearch<float>&, memory::Layout&, Tree<float>&);
template void lay_out(const NeighborSearch<double>&, memory::Layout&, Tree<double>&);
template void build(const NeighborSearch<float>&, Tree<float>&);
template void build(const NeighborSearch<double>&, Tree<double>&);

}  // namespace starling::neighbors::host
