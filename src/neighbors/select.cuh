#pragma once

#include "neighbors/tree.cuh"

namespace starling::neighbors_cuda {

/// A neighbour's rank in the order (d², self first, row).
template <typename T>
struct alignas(2 * sizeof(T)) Key {
  T distance2;
  std::uint32_t tie;  // 0 for the query itself, else row + 1
};

template <typename T>
__device__ inline bool operator<(const Key<T>& a, const Key<T>& b) {
  return a.distance2 < b.distance2 || (a.distance2 == b.distance2 && a.tie < b.tie);
}
// A float's key is one integer: half the instructions of two compares.
__device__ inline bool operator<(const Key<float>& a, const Key<float>& b) {
  const auto packed = [](const Key<float>& key) {
    return static_cast<std::uint64_t>(to_bits(key.distance2)) << 32 | key.tie;
  };
  return packed(a) < packed(b);
}

template <typename T>
__device__ inline Key<T> last_key() {
  return {infinity<T>(), kWarp};
}

/// The nearest candidates of one query so far, unordered, in shared memory of one warp. Candidates under the bound are
/// appended; when the buffer runs full, a bisection finds a new bound that at least k of them meet, and the others go.
/// So a candidate costs a compare, and sorting is left to the k that remain at the end. Until then a key's tie is not
/// the row + 1 but the place in the tree + 1: rows are looked up for the few that need them.
template <typename T, int kMaxNeighbors>
class Nearest {
 public:
  using B = typename Bits<T>::Type;
  static constexpr int kCapacity = kMaxNeighbors <= 128 ? 2 * kMaxNeighbors + 96 : kMaxNeighbors + 256;
  static constexpr int kSlots = kCapacity / 32;

  __device__ Nearest(Key<T>* keys, int k, const std::int32_t* order)
      : keys_(keys), order_(order), k_(k), full_(min(kCapacity - 64, 2 * k + 32)) {
    lane_ = threadIdx.x % 32;
  }

  /// Begins with no candidates; none beyond the limit will be taken.
  __device__ void begin(T limit) {
    bound_ = limit;
    bound_tie_ = kWarp;
    size_ = 0;
  }

  /// No candidate beyond it can be among the k nearest; those at it can, by their row.
  __device__ T bound() const { return bound_; }
  __device__ int size() const { return size_; }
  __device__ Key<T> operator[](int i) const { return keys_[i]; }

  /// Whether rows decide about candidates at the bound.
  __device__ bool cuts_ties() const { return bound_tie_ != kWarp; }
  __device__ bool admits(const Key<T>& key) const {
    return key.distance2 < bound_ || (key.distance2 == bound_ && (!cuts_ties() || rank(key) <= bound_tie_));
  }

  /// Appends a key.
  __device__ void push_one(const Key<T>& key) {
    if (lane_ == 0) keys_[size_] = key;
    ++size_;
    __syncwarp();
  }

  /// Appends each lane's two keys where taken. All lanes call it, and settle() before the next time.
  __device__ __forceinline__ void push(bool take_a, const Key<T>& a, bool take_b, const Key<T>& b) {
    const unsigned before = (1u << lane_) - 1;
    const unsigned takers_a = __ballot_sync(kWarp, take_a), takers_b = __ballot_sync(kWarp, take_b);
    if (take_a) keys_[size_ + __popc(takers_a & before)] = a;
    size_ += __popc(takers_a);
    if (take_b) keys_[size_ + __popc(takers_b & before)] = b;
    size_ += __popc(takers_b);
    __syncwarp();
  }

  /// Makes room and lowers the bound where the buffer is full.
  __device__ __forceinline__ void settle() {
    if (size_ > full_) keep_nearest(k_ / 4 + 2);  // a bound that need not be tight takes fewer steps to find
  }

  /// Leaves the k nearest in ascending order.
  __device__ __forceinline__ void finish() {
    if constexpr (sizeof(T) == 4 && kMaxNeighbors <= 128) {
      if (size_ > 2 * kMaxNeighbors) keep_nearest(k_ / 4 + 2);
      if (size_ <= kMaxNeighbors ? sort_values<kMaxNeighbors / 32>() : sort_values<kMaxNeighbors / 16>()) return;
    }
    if (size_ > k_) keep_nearest(0);
#pragma unroll 1  // rare
    for (int i = lane_; i < size_; i += 32) keys_[i].tie = rank(keys_[i]);
    __syncwarp();
    if constexpr (kMaxNeighbors <= 128)
      sort_registers<kMaxNeighbors / 32>();
    else
      sort_shared();
  }

 private:
  // The tie of a finished key.
  __device__ std::uint32_t rank(const Key<T>& key) const { return key.tie == 0 ? 0 : order_[key.tie - 1] + 1; }

  // Leaves the k nearest, and up to `slack` of the next.
  __device__ __forceinline__ void keep_nearest(int slack) {
    B value[kSlots];
    B lowest = ~B(0), highest = 0;
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const int i = s * 32 + lane_;
      value[s] = ~B(0);
      if (i < size_) {
        value[s] = to_bits(keys_[i].distance2);
        highest = max(highest, value[s]);
      }
      lowest = min(lowest, value[s]);
    }
    // The smallest value, or one near it, that at least k candidates do not exceed.
    B low = warp_min(lowest), high = warp_max(highest);
    int count = size_, count_below = 0;  // candidates up to high, and below low
    for (int step = 0; low < high && count > k_ + slack; ++step) {
      B middle = low + (high - low) / 2;
      if (step % 3 != 2) {
        // Distances are spread evenly enough that a guess in proportion takes a third of the steps of halving.
        const float part = __fdividef(k_ + slack / 2 - count_below, count - count_below);
        const T from = from_bits(low), to = from_bits(high);
        const T guess = from + (to - from) * static_cast<T>(fminf(fmaxf(part, 0.03f), 0.97f));
        middle = min(max(to_bits(guess), low), high - 1);
      }
      int mine = 0;
#pragma unroll
      for (int s = 0; s < kSlots; ++s) mine += value[s] <= middle;
      const int below = __reduce_add_sync(kWarp, mine);
      if (below >= k_) {
        high = middle;
        count = below;
      } else {
        low = middle + 1;
        count_below = below;
      }
    }
    bound_ = from_bits(high);
    bound_tie_ = kWarp;
    if (count > k_ + slack) cut_ties(high, slack);

    int kept = 0;
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      if (s * 32 >= size_) break;
      const int i = s * 32 + lane_;
      const Key<T> key = i < size_ ? keys_[i] : last_key<T>();
      const bool keep = i < size_ && key.distance2 <= bound_;
      const unsigned keepers = __ballot_sync(kWarp, keep);
      __syncwarp();  // all lanes have read before any writes
      if (keep) keys_[kept + __popc(keepers & ((1u << lane_) - 1))] = key;
      kept += __popc(keepers);
    }
    size_ = kept;
    __syncwarp();
  }

  // Many candidates share the bound: their rows decide. Those that must go become NaN.
  __device__ __forceinline__ void cut_ties(B tied, int slack) {
    std::uint32_t low = 0, high = kWarp;
    int count = kCapacity + 1;
    while (low < high && count > k_ + slack) {
      const std::uint32_t middle = low + (high - low) / 2;
      int mine = 0;
#pragma unroll 1  // rare: not worth its code
      for (int i = lane_; i < size_; i += 32) {
        const Key<T> key = keys_[i];
        const B bits = to_bits(key.distance2);
        mine += bits < tied || (bits == tied && rank(key) <= middle);
      }
      const int below = __reduce_add_sync(kWarp, mine);
      if (below >= k_) {
        high = middle;
        count = below;
      } else {
        low = middle + 1;
      }
    }
    bound_tie_ = high;
#pragma unroll 1
    for (int i = lane_; i < size_; i += 32)
      if (!admits(keys_[i])) keys_[i].distance2 = not_a_number<T>();
    __syncwarp();
  }

  // Bitonic sort of 32 · kEach words, consecutive ones a lane. All merges ascend, since the first step of each pairs
  // mirror images: so a lane always keeps the smaller words or the larger, and inside a lane nothing need be asked.
  template <int kEach>
  __device__ __forceinline__ void sort_words(std::uint32_t (&value)[kEach]) {
    const auto between_lanes = [&](int lanes, int half, bool mirrored) {
      std::uint32_t other[kEach];
#pragma unroll
      for (int e = 0; e < kEach; ++e) other[e] = __shfl_xor_sync(kWarp, value[mirrored ? kEach - 1 - e : e], lanes);
#pragma unroll
      for (int e = 0; e < kEach; ++e)
        value[e] = (lane_ & half) == 0 ? min(value[e], other[e]) : max(value[e], other[e]);
    };
    const auto inside_lane = [&](int a, int b) {
      const std::uint32_t low = min(value[a], value[b]);
      value[b] = max(value[a], value[b]);
      value[a] = low;
    };
#pragma unroll
    for (int length = 2; length <= 32 * kEach; length *= 2) {
      if (length > kEach) {
        between_lanes(length / kEach - 1, length / kEach / 2, true);
      } else {
#pragma unroll
        for (int e = 0; e < kEach; ++e)
          if ((e & (length / 2)) == 0) inside_lane(e, e ^ (length - 1));
      }
#pragma unroll
      for (int step = length / 4; step > 0; step /= 2) {
        if (step >= kEach) {
          between_lanes(step / kEach, step / kEach, false);
        } else {
#pragma unroll
          for (int e = 0; e < kEach; ++e)
            if ((e & step) == 0) inside_lane(e, e | step);
        }
      }
    }
  }

  // Leaves the k nearest of up to 32 · kEach in ascending order, or everything as it was where distances are too near
  // to each other to be told apart in 23 bits, which is rare: then the answer is no. A distance and the key's place are
  // sorted as one word, for a third of the instructions that whole keys take.
  template <int kEach>
  __device__ __forceinline__ bool sort_values() {
    constexpr unsigned kPlaces = 32 * kEach;
    T highest = 0;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = e * 32 + lane_;
      if (i < size_) highest = max(highest, keys_[i].distance2);
    }
    // All distances go to [1, 2), where a float has 23 bits for them; rounding keeps their order.
    const float scale = __fdividef(0.99999f, from_bits(warp_max(to_bits(highest))));
    std::uint32_t value[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = e * 32 + lane_;
      value[e] = kWarp;
      if (i < size_) value[e] = (to_bits(fmaf(keys_[i].distance2, scale, 1.0f)) & 0x7fffff) * kPlaces + i;
    }
    sort_words(value);
    // A tie matters among the k and at their end.
    const int kept = min(size_, k_);
    const std::uint32_t next = __shfl_down_sync(kWarp, value[0], 1);
    bool tied = !(scale < infinity<T>());
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = lane_ * kEach + e;
      const std::uint32_t after = e + 1 < kEach ? value[e + 1] : next;
      tied = tied | ((i < kept) & (i + 1 < size_) & (value[e] / kPlaces == after / kPlaces));
    }
    if (__any_sync(kWarp, tied)) return false;
    Key<T> key[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (lane_ * kEach + e < kept) key[e] = keys_[value[e] % kPlaces];
    __syncwarp();
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (lane_ * kEach + e < kept) keys_[lane_ * kEach + e] = {key[e].distance2, rank(key[e])};
    size_ = kept;
    __syncwarp();
    return true;
  }

  __device__ static void exchange(Key<T>& a, Key<T>& b, bool ascending) {
    if ((b < a) == ascending) {
      const Key<T> other = a;
      a = b;
      b = other;
    }
  }

  // Bitonic sort, kEach consecutive keys a lane.
  template <int kEach>
  __device__ __forceinline__ void sort_registers() {
    Key<T> key[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = e * 32 + lane_;
      key[e] = i < size_ ? (*this)[i] : last_key<T>();
    }
    __syncwarp();
#pragma unroll
    for (int length = 2; length <= 32 * kEach; length *= 2) {
#pragma unroll
      for (int step = length / 2; step > 0; step /= 2) {
        if (step >= kEach) {
          const bool first = (lane_ & (step / kEach)) == 0;
#pragma unroll
          for (int e = 0; e < kEach; ++e) {
            const bool ascending = ((lane_ * kEach + e) & length) == 0;
            Key<T> other;
            other.distance2 = __shfl_xor_sync(kWarp, key[e].distance2, step / kEach);
            other.tie = __shfl_xor_sync(kWarp, key[e].tie, step / kEach);
            // Keys differ except among the padding, where either may be taken.
            if ((other < key[e]) == (first == ascending)) key[e] = other;
          }
        } else {
#pragma unroll
          for (int e = 0; e < kEach; ++e)
            if ((e & step) == 0) exchange(key[e], key[e | step], ((lane_ * kEach + e) & length) == 0);
        }
      }
    }
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      keys_[lane_ * kEach + e] = key[e];
    }
    __syncwarp();
  }

  // The same for more keys than registers should hold.
  __device__ __forceinline__ void sort_shared() {
    int total = 32;
    while (total < size_) total *= 2;
    for (int i = size_ + lane_; i < total; i += 32) {
      keys_[i] = last_key<T>();
    }
    __syncwarp();
    for (int length = 2; length <= total; length *= 2) {
      for (int step = length / 2; step > 0; step /= 2) {
        for (int pair = lane_; pair < total / 2; pair += 32) {
          const int i = (pair & ~(step - 1)) * 2 | (pair & (step - 1));
          Key<T> a = (*this)[i], b = (*this)[i + step];
          exchange(a, b, (i & length) == 0);
          keys_[i] = a;
          keys_[i + step] = b;
        }
        __syncwarp();
      }
    }
  }

  Key<T>* keys_;
  const std::int32_t* order_;
  int k_;
  int full_;
  T bound_;
  std::uint32_t bound_tie_;
  int size_;
  int lane_;
};

}  // namespace starling::neighbors_cuda
