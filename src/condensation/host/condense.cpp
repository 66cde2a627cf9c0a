#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "condensation/backends.h"
#include "condensation/formulas.h"
#include "condensation/host/check.h"
#include "memory/layout.h"

// Each event has a binary tree over its hits: a node's hits are halved in the dimension in which they spread widest,
// down to at most kLeafHits. A new point walks the nodes that its reach touches. A node counts the hits below it that
// are still free, so that a walk leaves out what is taken.
namespace starling::condensation::host {
namespace {

constexpr std::int32_t kLeafHits = 32;

template <typename T>
struct CondenseArrays {
  std::int32_t* order;       // [hits] rows of an event in tree order
  std::int32_t* candidates;  // [hits] rows of β ≥ t_beta, the best first
  std::int32_t* free;        // [nodes] free hits below
  T* boxes;                  // [nodes, 2, dimensions] lowest and highest coordinates
  T* distance2;              // [hits] of the hit's point; with `nearest` alone
};

std::int32_t num_leaves(std::int32_t hits) {
  return static_cast<std::int32_t>(std::bit_ceil(static_cast<std::uint32_t>((hits + kLeafHits - 1) / kLeafHits)));
}

/// Where an event's nodes begin: 2 num_leaves(n) − 1 < n / 8 + 5 for its n hits.
std::int64_t first_node(std::int32_t first_hit, std::int32_t event) {
  return first_hit / (kLeafHits / 4) + std::int64_t{5} * event;
}

template <typename T>
std::size_t lay_out(const CondenseHits<T>& hits, const CondenseOptions& options, std::span<std::byte> memory,
                    CondenseArrays<T>& arrays) {
  memory::Layout layout(memory);
  const auto n = static_cast<std::size_t>(hits.num_hits);
  const auto nodes = static_cast<std::size_t>(first_node(hits.num_hits, hits.num_events));
  arrays.order = layout.take<std::int32_t>(n);
  arrays.candidates = layout.take<std::int32_t>(n);
  arrays.free = layout.take<std::int32_t>(nodes);
  arrays.boxes = layout.take<T>(nodes * 2 * static_cast<std::size_t>(hits.dimensions));
  arrays.distance2 = options.assign == CondenseAssign::nearest ? layout.take<T>(n) : nullptr;
  return layout.bytes();
}

template <typename T>
class EventClustering {
 public:
  EventClustering(const CondenseHits<T>& hits, const CondenseOptions& options, const CondenseArrays<T>& arrays,
                  const Condensed& out, std::int32_t event)
      : hits_(hits), options_(options), out_(out), dimensions_(hits.dimensions), event_(event) {
    first_ = hits.row_splits != nullptr ? hits.row_splits[event] : 0;
    last_ = hits.row_splits != nullptr ? hits.row_splits[event + 1] : hits.num_hits;
    order_ = arrays.order;
    candidates_ = arrays.candidates + first_;
    const std::int64_t node = first_node(first_, event);
    free_ = arrays.free + node;
    boxes_ = arrays.boxes + node * 2 * dimensions_;
    distance2_ = arrays.distance2;
  }

  void run() {
    num_points_ = 0;
    if (first_ < last_) {
      for (std::int32_t row = first_; row < last_; ++row) {
        order_[row] = row;
        out_.id[row] = out_.point[row] = -1;
      }
      first_leaf_ = num_leaves(last_ - first_) - 1;
      build(0, first_, last_);
      const std::int32_t* const end = sort_candidates();
      for (const std::int32_t* row = candidates_; row != end; ++row) {
        if (out_.id[*row] < 0) add_point(*row);
      }
    }
    if (out_.num_points != nullptr) out_.num_points[event_] = num_points_;
  }

 private:
  const T* x(std::int32_t row) const { return hits_.x + std::int64_t{row} * dimensions_; }
  T* low(std::int32_t node) const { return boxes_ + std::int64_t{node} * 2 * dimensions_; }
  T* high(std::int32_t node) const { return low(node) + dimensions_; }

  const std::int32_t* sort_candidates() const {
    const T* const beta = hits_.beta;
    const T t_beta = static_cast<T>(options_.t_beta);
    std::int32_t* end = candidates_;
    for (std::int32_t row = first_; row < last_; ++row) {
      if (beta[row] >= t_beta) *end++ = row;
    }
    std::sort(candidates_, end,
              [&](std::int32_t a, std::int32_t b) { return beta[a] > beta[b] || (beta[a] == beta[b] && a < b); });
    return end;
  }

  // Nodes are numbered as in a heap: the children of i are 2 i + 1 and 2 i + 2.
  void build(std::int32_t node, std::int32_t first, std::int32_t last) {
    free_[node] = last - first;
    std::fill_n(low(node), dimensions_, std::numeric_limits<T>::infinity());
    std::fill_n(high(node), dimensions_, -std::numeric_limits<T>::infinity());
    for (std::int32_t place = first; place < last; ++place) {
      const T* const at = x(order_[place]);
      for (int d = 0; d < dimensions_; ++d) {
        low(node)[d] = std::min(low(node)[d], at[d]);
        high(node)[d] = std::max(high(node)[d], at[d]);
      }
    }
    if (node >= first_leaf_) return;
    int widest = 0;
    // Halved: the difference of two finite numbers may not be finite.
    const auto spread = [&](int d) { return high(node)[d] / 2 - low(node)[d] / 2; };
    for (int d = 1; d < dimensions_; ++d) {
      if (spread(d) > spread(widest)) widest = d;
    }
    const std::int32_t middle = first + (last - first) / 2;
    std::nth_element(order_ + first, order_ + middle, order_ + last,
                     [&](std::int32_t a, std::int32_t b) { return x(a)[widest] < x(b)[widest]; });
    build(2 * node + 1, first, middle);
    build(2 * node + 2, middle, last);
  }

  void add_point(std::int32_t row) {
    row_ = row;
    x_ = x(row);
    reach2_ = reach2(options_.t_d, hits_.scale != nullptr ? hits_.scale[row] : T(1));
    walk(0, first_, last_);
    ++num_points_;
  }

  /// Gives the point the hits that it takes below a node, and returns how many of them were free.
  std::int32_t walk(std::int32_t node, std::int32_t first, std::int32_t last) {
    if (free_[node] == 0 && distance2_ == nullptr) return 0;
    if (!(box_distance2(node) <= reach2_)) return 0;
    std::int32_t taken = 0;
    if (node >= first_leaf_) {
      for (std::int32_t place = first; place < last; ++place) taken += offer(order_[place]) ? 1 : 0;
    } else {
      const std::int32_t middle = first + (last - first) / 2;
      taken = walk(2 * node + 1, first, middle) + walk(2 * node + 2, middle, last);
    }
    free_[node] -= taken;
    return taken;
  }

  /// True where the hit was free and is taken now.
  bool offer(std::int32_t row) {
    const bool is_free = out_.id[row] < 0;
    if (!is_free && distance2_ == nullptr) return false;
    const T d2 = distance2(x(row));
    if (!(d2 <= reach2_)) return false;
    // Points come in the order of their numbers: where d² is equal, the earlier one stays.
    if (!is_free && !(d2 < distance2_[row])) return false;
    out_.id[row] = num_points_;
    out_.point[row] = row_;
    if (distance2_ != nullptr) distance2_[row] = d2;
    return is_free;
  }

  T distance2(const T* at) const {
    T sum = 0;
    for (int d = 0; d < dimensions_; ++d) {
      const T apart = x_[d] - at[d];
      sum = std::fma(apart, apart, sum);
    }
    return sum;
  }

  /// Of the point to a box. Rounding is monotonic and the sum runs as above, so no hit of the box is nearer: pruning by
  /// it needs no tolerance.
  T box_distance2(std::int32_t node) const {
    T sum = 0;
    for (int d = 0; d < dimensions_; ++d) {
      const T outside = std::max({low(node)[d] - x_[d], x_[d] - high(node)[d], T(0)});
      sum = std::fma(outside, outside, sum);
    }
    return sum;
  }

  const CondenseHits<T>& hits_;
  const CondenseOptions& options_;
  const Condensed& out_;
  int dimensions_;
  std::int32_t event_, first_, last_, first_leaf_ = 0;
  std::int32_t *order_, *candidates_, *free_;
  T *boxes_, *distance2_;

  std::int32_t num_points_ = 0;
  std::int32_t row_ = 0;  // of the point that takes hits now
  const T* x_ = nullptr;
  T reach2_ = 0;
};

}  // namespace

template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>& hits, const CondenseOptions& options) {
  CondenseArrays<T> arrays{};
  return lay_out(hits, options, {}, arrays);
}

template <typename T>
void condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out,
              std::span<std::byte> workspace) {
  check_row_splits(hits.row_splits, hits.num_events, hits.num_hits);
  check_beta(hits.beta, hits.num_hits);
  check_finite("x", hits.x, hits.num_hits, hits.dimensions);
  check_scale(hits.scale, hits.num_hits);
  CondenseArrays<T> arrays{};
  lay_out(hits, options, workspace, arrays);
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, hits.num_events), [&](const auto& events) {
    for (std::int32_t e = events.begin(); e < events.end(); ++e)
      EventClustering<T>(hits, options, arrays, out, e).run();
  });
}

#define STARLING_INSTANTIATE(T)                                                                  \
  template std::size_t condense_workspace_bytes(const CondenseHits<T>&, const CondenseOptions&); \
  template void condense(const CondenseHits<T>&, const CondenseOptions&, const Condensed&, std::span<std::byte>)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::condensation::host
