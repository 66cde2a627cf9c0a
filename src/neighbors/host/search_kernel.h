#pragma once

// The search, written once over a vector type V. Included by one file per instruction level, inside which all of it has
// internal linkage.
//
// Pruning is exact: rounding is monotonic, so the fma chain of d² over the distances to a box's faces is never greater
// than that of any point in the box (nor, over those to its far faces, smaller). A box is skipped only if (its bound,
// its smallest row) lies behind (d², row) of a candidate that k are not behind.

#include <cstdint>

#include "neighbors/host/search.h"

namespace starling::neighbors::host {
namespace {

constexpr int kStackDepth = 96;  // seven siblings per level, of at most nine levels, and a node's eight
constexpr std::int32_t kNoIndex = 0x7FFFFFFF;

template <class V>
class Search {
 public:
  using T = typename V::Scalar;
  using Reg = typename V::Reg;
  static constexpr int kWidth = V::kWidth;

  Search(const Tree<T>& tree, const Scratch<T>& scratch)
      : tree_(tree), dimensions_(tree.dimensions), d2_(scratch.distance2), index_(scratch.index) {}

  void set_query(const T* query) {
    for (int d = 0; d < dimensions_; ++d) query_[d] = query[d];
  }

  /// Gathers the nearest `wanted` in the event of `leaf`, sorted: sorted_distance2() and sorted_index(). Returns their
  /// number.
  int nearest(std::int32_t leaf, std::int64_t want, T max_distance2) {
    want_ = static_cast<int>(want);
    limit_ = static_cast<int>(gathered(want));
    size_ = 0;
    bound_ = max_distance2;
    bound_index_ = kNoIndex;
    scan_leaf(leaf);
    std::int32_t child = ~leaf;
    for (std::int32_t node = tree_.leaf_parent[leaf]; node >= 0; node = tree_.nodes[node].parent) {
      int depth = push_children(node, child, 0);
      while (depth > 0) {
        const Pending next = stack_[--depth];
        if (behind(next.distance2, next.min_index)) continue;
        if (next.child < 0) {
          scan_leaf(~next.child);
        } else {
          depth = push_children(next.child, kNoIndex, depth);
        }
      }
      child = node;
    }
    return sort();
  }

  const T* sorted_distance2() const { return sorted_d2_; }
  const std::int32_t* sorted_index() const { return sorted_index_; }

  /// Points of the event of `leaf` within max_distance2. Boxes that are so as a whole are not opened: only what crosses
  /// the sphere costs time.
  std::int32_t count(std::int32_t leaf, T max_distance2) {
    bound_ = max_distance2;
    bound_index_ = kNoIndex;
    std::int32_t found = count_leaf(leaf);
    std::int32_t child = ~leaf;
    for (std::int32_t node = tree_.leaf_parent[leaf]; node >= 0; node = tree_.nodes[node].parent) {
      int depth = push_crossing(node, child, 0, found);
      while (depth > 0) {
        const Pending next = stack_[--depth];
        if (next.child < 0) {
          found += count_leaf(~next.child);
        } else {
          depth = push_crossing(next.child, kNoIndex, depth, found);
        }
      }
      child = node;
    }
    return found;
  }

  /// A leaf near the query, by greedy descent.
  std::int32_t find_leaf(std::int32_t root) const {
    std::int32_t node = root;
    for (;;) {
      T bounds[kFanOut];
      unsigned children = box_bounds(node, V::infinity(), bounds);
      int best = __builtin_ctz(children);
      for (children &= children - 1; children != 0; children &= children - 1) {
        const int slot = __builtin_ctz(children);
        if (bounds[slot] < bounds[best]) best = slot;
      }
      const std::int32_t first = tree_.nodes[node].child;
      if (first < 0) return ~first + best;
      node = first + best;
    }
  }

 private:
  struct Pending {
    T distance2;
    std::int32_t child;
    std::int32_t min_index;
  };

  bool behind(T distance2, std::int32_t min_index) const {
    return distance2 > bound_ || (distance2 == bound_ && min_index > bound_index_);
  }

  /// Lower bounds of d² to the children of a node, and which of them are not greater than `bound`.
  unsigned box_bounds(std::int32_t node, T bound, T* bounds) const {
    const T* const boxes = tree_.boxes + static_cast<std::size_t>(node) * dimensions_ * 2 * kFanOut;
    const Reg limit = V::set(bound);
    unsigned within = 0;
    for (int lane = 0; lane < kFanOut; lane += kWidth) {
      Reg sum = V::zero();
      for (int d = 0; d < dimensions_; ++d) {
        const Reg q = V::set(query_[d]);
        const T* const box = boxes + d * 2 * kFanOut + lane;
        const Reg nearest = V::min(V::max(q, V::load(box)), V::load(box + kFanOut));
        const Reg outside = V::sub(q, nearest);
        sum = V::fma(outside, outside, sum);
      }
      V::store(bounds + lane, sum);
      within |= V::less_equal(sum, limit) << lane;
    }
    return within;
  }

  /// Children of a node all of whose points are within `bound`: no point of a box has a greater computed d² than its
  /// farthest corner, as none has a smaller one than its nearest.
  unsigned boxes_within(std::int32_t node, T bound) const {
    const T* const boxes = tree_.boxes + static_cast<std::size_t>(node) * dimensions_ * 2 * kFanOut;
    const Reg limit = V::set(bound);
    unsigned within = 0;
    for (int lane = 0; lane < kFanOut; lane += kWidth) {
      Reg sum = V::zero();
      for (int d = 0; d < dimensions_; ++d) {
        const Reg q = V::set(query_[d]);
        const T* const box = boxes + d * 2 * kFanOut + lane;
        const Reg farthest = V::max(V::sub(q, V::load(box)), V::sub(V::load(box + kFanOut), q));
        sum = V::fma(farthest, farthest, sum);
      }
      within |= V::less_equal(sum, limit) << lane;
    }
    return within;
  }

  /// Children of a node but `done` that are not beyond the bound, and the lower bounds of their d².
  unsigned open_children(std::int32_t node, std::int32_t done, T* bounds) const {
    const std::int32_t first = tree_.nodes[node].child;
    const unsigned children = box_bounds(node, bound_, bounds);
    return done == kNoIndex ? children : children & ~(1U << (first < 0 ? ~done - ~first : done - first));
  }

  /// Child `slot` of a node whose first is `first`: leaves are numbered downwards, as ~leaf.
  static std::int32_t child_of(std::int32_t first, int slot) { return first < 0 ? first - slot : first + slot; }

  /// Adds the points of the children that are within the bound as a whole, and pushes those that cross it.
  int push_crossing(std::int32_t node, std::int32_t done, int depth, std::int32_t& found) {
    T bounds[kFanOut];
    unsigned children = open_children(node, done, bounds);
    if (children == 0) return depth;
    const std::int32_t* const size = tree_.size + static_cast<std::size_t>(node) * kFanOut;
    unsigned whole = children & boxes_within(node, bound_);
    children &= ~whole;
    for (; whole != 0; whole &= whole - 1) found += size[__builtin_ctz(whole)];
    for (; children != 0; children &= children - 1) {
      stack_[depth++].child = child_of(tree_.nodes[node].child, __builtin_ctz(children));
    }
    return depth;
  }

  /// Pushes the children of a node but `done` that may hold neighbours, the nearest on top.
  int push_children(std::int32_t node, std::int32_t done, int depth) {
    T bounds[kFanOut];
    const std::int32_t first = tree_.nodes[node].child;
    unsigned children = open_children(node, done, bounds);
    const std::int32_t* const min_index = tree_.min_index + static_cast<std::size_t>(node) * kFanOut;
    const int bottom = depth;
    for (; children != 0; children &= children - 1) {
      const int slot = __builtin_ctz(children);
      const Pending child{bounds[slot], child_of(first, slot), min_index[slot]};
      if (behind(child.distance2, child.min_index)) continue;
      int place = depth++;
      for (; place > bottom && stack_[place - 1].distance2 <= child.distance2; --place)
        stack_[place] = stack_[place - 1];
      stack_[place] = child;
    }
    return depth;
  }

  /// Calls use(v, d²) for each vector v of a leaf's points.
  template <class Use>
  [[gnu::always_inline]] inline void leaf_distances(std::int32_t leaf, const Use& use) const {
    constexpr int kVectors = kLeafSize / kWidth;
    const T* points = tree_.points + static_cast<std::size_t>(leaf) * dimensions_ * kLeafSize;
    const T* query = query_;
    const T* const end = query_ + dimensions_;
    Reg d2[kVectors];
    for (Reg& one : d2) one = V::zero();
    do {  // at least one dimension, so that d² stays in registers
      const Reg q = V::set(*query);
      for (int v = 0; v < kVectors; ++v) {
        const Reg difference = V::sub(q, V::load(points + v * kWidth));
        d2[v] = V::fma(difference, difference, d2[v]);
      }
      points += kLeafSize;
    } while (++query != end);
    for (int v = 0; v < kVectors; ++v) use(v, d2[v]);
  }

  std::int32_t count_leaf(std::int32_t leaf) const {
    const Reg limit = V::set(bound_);
    typename V::Ranks counts = V::no_ranks();
    leaf_distances(leaf, [&](int, Reg d2) { counts = V::count_less_equal(counts, d2, limit); });
    return V::sum(counts);
  }

  void scan_leaf(std::int32_t leaf) {
    const std::int32_t* const from = tree_.index + static_cast<std::size_t>(leaf) * kLeafSize;
    const Reg limit = V::set(bound_);
    T* d2_end = d2_ + size_;
    std::int32_t* index_end = index_ + size_;
    leaf_distances(leaf, [&](int v, Reg d2) {
      const unsigned near = V::less_equal(d2, limit);
      V::compress(d2_end, index_end, d2, V::load_index(from + v * kWidth), near);
      const int count = __builtin_popcount(near);
      d2_end += count;
      index_end += count;
    });
    size_ = static_cast<int>(d2_end - d2_);
    if (size_ >= limit_) drop_far(want_ + want_ / 4);
  }

  /// Ends the buffer with what no comparison lets through, for loops over whole vectors.
  void close_buffer() { V::store(d2_ + size_, V::set(V::nan())); }

  T largest() const {
    Reg largest = V::zero();
    for (int i = 0; i < size_; i += kWidth) largest = V::max(V::load(d2_ + i), largest);
    T lanes[kWidth];
    V::store(lanes, largest);
    T result = 0;
    for (const T lane : lanes) result = lane > result ? lane : result;
    return result;
  }

  int count_up_to(T value) const {
    const Reg limit = V::set(value);
    typename V::Ranks counts = V::no_ranks();
    for (int i = 0; i < size_; i += kWidth) counts = V::count_less_equal(counts, V::load(d2_ + i), limit);
    return V::sum(counts);
  }

  unsigned up_to(int i, Reg value, typename V::Index index) const {
    const Reg d2 = V::load(d2_ + i);
    return V::less(d2, value) | (V::equal(d2, value) & V::index_less_equal(V::load_index(index_ + i), index));
  }

  int count_up_to(T value, std::int32_t index) const {
    const Reg limit = V::set(value);
    const typename V::Index index_limit = V::set_index(index);
    int count = 0;
    for (int i = 0; i < size_; i += kWidth) count += __builtin_popcount(up_to(i, limit, index_limit));
    return count;
  }

  /// Finds a bound that at least want_ and, ties apart, at most `enough` candidates meet, and drops the others. Ends
  /// for any input: the interval that holds the bound's bits shrinks.
  void drop_far(int enough) {
    using Bits = typename V::Bits;
    close_buffer();
    Bits low = -1;  // fewer than want_ are up to here
    Bits high = V::to_bits(largest());
    int high_count = size_;
    // The number of points up to d² grows about as its D/2-th power, and bits are about a logarithm: begin with that
    // slope, go on with the measured one.
    const auto log_of = [](int n) { return static_cast<double>(V::to_bits(static_cast<T>(n))); };
    const double aim = log_of((want_ + enough) / 2);
    double slope = 2.0 / dimensions_;
    double low_log = 0;
    for (int step = 0; high_count > enough && high - low > 1; ++step) {
      const double down = (log_of(high_count) - aim) * slope + 1;
      const bool inside = step < 6 && down < static_cast<double>(high - low);
      const Bits guess = inside ? high - static_cast<Bits>(down) : low + (high - low) / 2;
      const int count = count_up_to(V::from_bits(guess));
      if (count < want_) {
        low = guess;
        low_log = log_of(count > 0 ? count : 1);
      } else {
        if (low < 0 && count < high_count) {
          slope = static_cast<double>(high - guess) / (log_of(high_count) - log_of(count));
        }
        high = guess;
        high_count = count;
      }
      if (low >= 0) slope = static_cast<double>(high - low) / (log_of(high_count) - low_log);
    }
    bound_ = V::from_bits(high);
    bound_index_ = kNoIndex;
    if (high_count > enough) {
      break_ties();
    } else {
      const Reg limit = V::set(bound_);
      keep([&](int i) { return V::less_equal(V::load(d2_ + i), limit); });
    }
  }

  /// More candidates lie at the bound than may stay: those of the smallest rows do.
  void break_ties() {
    const Reg limit = V::set(bound_);
    std::int64_t low = -1;
    std::int64_t high = kNoIndex;
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      const typename V::Index index = V::set_index(static_cast<std::int32_t>(middle));
      int count = 0;
      for (int i = 0; i < size_; i += kWidth) count += __builtin_popcount(up_to(i, limit, index));
      (count < want_ ? low : high) = middle;
    }
    bound_index_ = static_cast<std::int32_t>(high);
    const typename V::Index index = V::set_index(bound_index_);
    keep([&](int i) { return up_to(i, limit, index); });
  }

  /// Keeps the candidates of which `kept`, given the first of a vector, says so.
  template <class Kept>
  void keep(const Kept& kept) {
    int size = 0;
    for (int i = 0; i < size_; i += kWidth) {
      const unsigned lanes = kept(i);
      V::compress(d2_ + size, index_ + size, V::load(d2_ + i), V::load_index(index_ + i), lanes);
      size += __builtin_popcount(lanes);
    }
    size_ = size;
  }

  /// Sorts the gathered candidates by (d², index) and returns how many of them are wanted.
  int sort() {
    const int lanes = (want_ + kRankLanes - 1) / kRankLanes * kRankLanes;  // what ranking takes anyway
    if (size_ > lanes) drop_far(lanes);
    close_buffer();
    T* from_d2 = d2_ + gathered_room();
    std::int32_t* from_index = index_ + gathered_room();
    T* to_d2 = d2_;
    std::int32_t* to_index = index_;
    for (int begin = 0; begin < size_; begin += kRun) {
      const int end = begin + kRun < size_ ? begin + kRun : size_;
      if (!rank_run<false>(begin, end, from_d2, from_index)) rank_run<true>(begin, end, from_d2, from_index);
    }
    for (int run = kRun; run < size_; run *= 2) {
      for (int begin = 0; begin < size_; begin += 2 * run) {
        const int middle = begin + run < size_ ? begin + run : size_;
        const int end = begin + 2 * run < size_ ? begin + 2 * run : size_;
        merge(from_d2, from_index, begin, middle, end, to_d2, to_index);
      }
      T* const d2 = from_d2;
      from_d2 = to_d2;
      to_d2 = d2;
      std::int32_t* const index = from_index;
      from_index = to_index;
      to_index = index;
    }
    sorted_d2_ = from_d2;
    sorted_index_ = from_index;
    return size_ < want_ ? size_ : want_;
  }

  std::int64_t gathered_room() const { return scratch_entries(want_) / 2; }

  /// Sorts candidates begin..end−1 into the same places of `to`: the rank of each is the number of those before it. The
  /// short form compares d² alone and returns false where ties make that no order.
  template <bool kTies>
  bool rank_run(int begin, int end, T* to_d2, std::int32_t* to_index) const {
    constexpr int kVectors = kRankLanes / kWidth;
    std::int64_t sum = 0;
    for (int first = begin; first < end; first += kRankLanes) {
      Reg d2[kVectors];
      typename V::Index index[kVectors];
      typename V::Ranks ranks[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        d2[v] = V::load(d2_ + first + v * kWidth);
        if constexpr (kTies) index[v] = V::load_index(index_ + first + v * kWidth);
        ranks[v] = V::no_ranks();
      }
      for (int i = begin; i < end; ++i) {
        const Reg other = V::set(d2_[i]);
        for (int v = 0; v < kVectors; ++v) {
          if constexpr (kTies) {
            ranks[v] = V::count_before(ranks[v], other, V::set_index(index_[i]), d2[v], index[v]);
          } else {
            ranks[v] = V::count_less(ranks[v], other, d2[v]);
          }
        }
      }
      typename V::Bits rank[kRankLanes];
      for (int v = 0; v < kVectors; ++v) V::store_ranks(rank + v * kWidth, ranks[v]);
      const int lanes = end - first < kRankLanes ? end - first : kRankLanes;
      for (int lane = 0; lane < lanes; ++lane) {
        sum += rank[lane];
        to_d2[begin + rank[lane]] = d2_[first + lane];
        to_index[begin + rank[lane]] = index_[first + lane];
      }
    }
    const std::int64_t size = end - begin;
    return sum == size * (size - 1) / 2;
  }

  static void merge(const T* d2, const std::int32_t* index, int begin, int middle, int end, T* to_d2,
                    std::int32_t* to_index) {
    int a = begin;
    int b = middle;
    for (int to = begin; to < end; ++to) {
      const bool first = b == end || (a < middle && (d2[a] < d2[b] || (d2[a] == d2[b] && index[a] < index[b])));
      const int from = first ? a++ : b++;
      to_d2[to] = d2[from];
      to_index[to] = index[from];
    }
  }

  static constexpr int kRun = 96;
  static constexpr int kRankLanes = 32;

  const Tree<T>& tree_;
  const int dimensions_;
  T query_[kMaxDimensions];
  T* d2_;  // candidates, unsorted
  std::int32_t* index_;
  int size_ = 0;
  int want_ = 0;
  int limit_ = 0;
  T bound_ = 0;  // (bound_, bound_index_) is not before the last of the wanted
  std::int32_t bound_index_ = kNoIndex;
  const T* sorted_d2_ = nullptr;
  const std::int32_t* sorted_index_ = nullptr;
  Pending stack_[kStackDepth];
};

template <class V>
void nearest(const Job<typename V::Scalar>& job, const Start* starts, std::int64_t count,
             const Scratch<typename V::Scalar>& scratch) {
  using T = typename V::Scalar;
  Search<V> search(*job.tree, scratch);
  const std::int64_t dimensions = job.tree->dimensions;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t row = starts[i].row;
    const std::int64_t begin = job.row_splits != nullptr ? job.row_splits[row] : static_cast<std::int64_t>(row) * job.k;
    const std::int64_t k = job.row_splits != nullptr ? job.row_splits[row + 1] - begin : job.k;
    if (k == 0) continue;
    T* const out_d2 = job.distance2 + begin;
    std::int32_t* const out_index = job.index + begin;
    std::int64_t written = 0;
    const auto write = [&](int from, std::int64_t to) {
      const std::int64_t size = to - from < k - written ? to - from : k - written;
      __builtin_memcpy(out_d2 + written, search.sorted_distance2() + from, static_cast<std::size_t>(size) * sizeof(T));
      __builtin_memcpy(out_index + written, search.sorted_index() + from,
                       static_cast<std::size_t>(size) * sizeof(std::int32_t));
      written += size;
    };
    if (job.self && job.loop) {
      out_d2[0] = 0;
      out_index[0] = row;
      written = 1;
    }
    if (starts[i].leaf >= 0) {
      search.set_query(job.queries + row * dimensions);
      const int found = search.nearest(starts[i].leaf, wanted(job, k), job.max_distance2);
      int self = 0;
      if (job.self) {
        while (self < found && search.sorted_distance2()[self] == 0 && search.sorted_index()[self] != row) ++self;
      }
      if (job.self && self < found && search.sorted_index()[self] == row) {
        write(0, self);
        write(self + 1, found);
      } else {
        write(0, found);
      }
    }
    for (; written < k; ++written) {
      out_d2[written] = V::infinity();
      out_index[written] = -1;
    }
  }
}

template <class V>
void count(const Job<typename V::Scalar>& job, const Start* starts, std::int64_t queries, std::int32_t* found) {
  Search<V> search(*job.tree, {});
  for (std::int64_t i = 0; i < queries; ++i) {
    if (starts[i].leaf < 0) {
      found[starts[i].row] = 0;
      continue;
    }
    search.set_query(job.queries + static_cast<std::int64_t>(starts[i].row) * job.tree->dimensions);
    found[starts[i].row] = search.count(starts[i].leaf, job.max_distance2);
  }
}

template <class V>
void find_leaves(const Job<typename V::Scalar>& job, std::int32_t root, Start* starts, std::int64_t queries) {
  Search<V> search(*job.tree, {});
  for (std::int64_t i = 0; i < queries; ++i) {
    search.set_query(job.queries + static_cast<std::int64_t>(starts[i].row) * job.tree->dimensions);
    starts[i].leaf = search.find_leaf(root);
  }
}

template <class V>
void fill_kernels(Kernels<typename V::Scalar>& kernels) {
  kernels.nearest = nearest<V>;
  kernels.count = count<V>;
  kernels.find_leaves = find_leaves<V>;
}

}  // namespace
}  // namespace starling::neighbors::host
