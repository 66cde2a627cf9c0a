#pragma once

#include "neighbors/cuda/select.cuh"

namespace starling::neighbors::cuda {

/// Sorts the keys of a warp, one per lane, in ascending order (bitonic).
template <typename T>
__device__ __forceinline__ Key<T> sort_keys(Key<T> key) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int size = 2; size <= 32; size *= 2) {
#pragma unroll
    for (int step = size / 2; step > 0; step /= 2) {
      const int mask = step == size / 2 ? size - 1 : step;
      const Key<T> other{__shfl_xor_sync(kWarp, key.distance2, mask), __shfl_xor_sync(kWarp, key.tie, mask)};
      // Keys differ except among last_key(), where either may be taken.
      if ((other < key) == ((lane & step) == 0)) key = other;
    }
  }
  return key;
}

/// The nearest candidates of one query so far, in ascending order, in its row of the output: so their number is not
/// limited by another memory. All lanes of a warp call its functions. Ties are rows here.
template <typename T>
class BestRow {
 public:
  /// A row for `capacity` candidates, `size` of which are there.
  __device__ BestRow(std::int32_t* index, T* distance2, int capacity, int size)
      : index_(index), distance2_(distance2), capacity_(capacity), size_(size) {}

  __device__ int size() const { return size_; }
  __device__ bool full() const { return size_ == capacity_; }
  __device__ Key<T> operator[](int i) const { return {distance2_[i], static_cast<std::uint32_t>(index_[i])}; }

  /// Takes up the lanes' keys that are among the nearest; last_key() is none.
  __device__ void add(Key<T> key) {
    const int lane = threadIdx.x % 32;
    if (full()) {
      if (capacity_ == 0) return;
      const Key<T> last = (*this)[size_ - 1];
      if (!(key < last)) key = last_key<T>();
    }
    const int number = __popc(__ballot_sync(kWarp, key.tie != kWarp));
    if (number == 0) return;
    key = sort_keys(key);
    int rank = 0, end = lane < number ? size_ : 0;  // of the row's keys before the lane's
    while (rank < end) {
      const int middle = (rank + end) / 2;
      if ((*this)[middle] < key)
        rank = middle + 1;
      else
        end = middle;
    }
    if (lane >= number) rank = capacity_;
    // From the end, so that nothing is overwritten before it has been moved.
    const int first = __shfl_sync(kWarp, rank, 0);
    for (int begin = (size_ - 1) / 32 * 32; size_ > 0 && begin >= 0 && begin + 32 > first; begin -= 32) {
      const int i = begin + lane;
      const bool moves = i >= first && i < size_;
      Key<T> mine = last_key<T>();
      if (moves) mine = (*this)[i];
      int shift = 0;  // of the lanes' keys before it
#pragma unroll
      for (int step = 16; step > 0; step /= 2)
        if (__shfl_sync(kWarp, rank, shift + step - 1) <= i) shift += step;
      if (__shfl_sync(kWarp, rank, shift) <= i) ++shift;
      __syncwarp();
      if (moves && i + shift < capacity_) put(i + shift, mine);
      __syncwarp();
    }
    if (lane < number && rank + lane < capacity_) put(rank + lane, key);
    size_ = min(size_ + number, capacity_);
    __syncwarp();
  }

 private:
  __device__ void put(int i, const Key<T>& key) {
    distance2_[i] = key.distance2;
    index_[i] = static_cast<std::int32_t>(key.tie);
  }

  std::int32_t* index_;
  T* distance2_;
  int capacity_;
  int size_;
};

}  // namespace starling::neighbors::cuda
