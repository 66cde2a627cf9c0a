// The search in plain loops, for any processor. Lanes behave as the vector instructions do.

#include <cmath>
#include <cstdint>
#include <limits>

#include "neighbors/host/search_kernel.h"

namespace starling::neighbors::host {
namespace {

template <typename T, typename BitsOfT>
struct Plain {
  using Scalar = T;
  using Bits = BitsOfT;
  static constexpr int kWidth = 8;
  struct Reg {
    T lane[kWidth];
  };
  struct Index {
    std::int32_t lane[kWidth];
  };
  using Ranks = Index;

  static T infinity() { return std::numeric_limits<T>::infinity(); }
  static T nan() { return std::numeric_limits<T>::quiet_NaN(); }
  static Bits to_bits(T x) { return __builtin_bit_cast(Bits, x); }
  static T from_bits(Bits bits) { return __builtin_bit_cast(T, bits); }

  template <typename Operation>
  static Reg each(const Operation& operation) {
    Reg result;
    for (int i = 0; i < kWidth; ++i) result.lane[i] = operation(i);
    return result;
  }
  template <typename Operation>
  static unsigned mask(const Operation& operation) {
    unsigned result = 0;
    for (int i = 0; i < kWidth; ++i) result |= operation(i) ? 1U << i : 0U;
    return result;
  }

  static Reg zero() { return set(0); }
  static Reg set(T x) {
    return each([&](int) { return x; });
  }
  static Reg load(const T* from) {
    return each([&](int i) { return from[i]; });
  }
  static void store(T* to, Reg a) {
    for (int i = 0; i < kWidth; ++i) to[i] = a.lane[i];
  }
  static Reg sub(Reg a, Reg b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  /// b where either is NaN.
  static Reg max(Reg a, Reg b) {
    return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static Reg min(Reg a, Reg b) {
    return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static Reg fma(Reg a, Reg b, Reg c) {
    return each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static unsigned less(Reg a, Reg b) {
    return mask([&](int i) { return a.lane[i] < b.lane[i]; });
  }
  static unsigned less_equal(Reg a, Reg b) {
    return mask([&](int i) { return a.lane[i] <= b.lane[i]; });
  }
  static unsigned equal(Reg a, Reg b) {
    return mask([&](int i) { return a.lane[i] == b.lane[i]; });
  }

  static Index set_index(std::int32_t x) {
    Index result;
    for (std::int32_t& lane : result.lane) lane = x;
    return result;
  }
  static Index load_index(const std::int32_t* from) {
    Index result;
    for (int i = 0; i < kWidth; ++i) result.lane[i] = from[i];
    return result;
  }
  static unsigned index_less_equal(Index a, Index b) {
    return mask([&](int i) { return a.lane[i] <= b.lane[i]; });
  }

  /// Writes the lanes of `chosen` side by side; the rest of a vector's length may be overwritten.
  static void compress(T* to, std::int32_t* to_index, Reg a, Index index, unsigned chosen) {
    for (; chosen != 0; chosen &= chosen - 1) {
      const int i = __builtin_ctz(chosen);
      *to++ = a.lane[i];
      *to_index++ = index.lane[i];
    }
  }

  static Ranks no_ranks() { return set_index(0); }
  /// Adds one where a < b.
  static Ranks count_less(Ranks ranks, Reg a, Reg b) {
    for (int i = 0; i < kWidth; ++i) ranks.lane[i] += a.lane[i] < b.lane[i] ? 1 : 0;
    return ranks;
  }
  static Ranks count_less_equal(Ranks ranks, Reg a, Reg b) {
    for (int i = 0; i < kWidth; ++i) ranks.lane[i] += a.lane[i] <= b.lane[i] ? 1 : 0;
    return ranks;
  }
  static int sum(Ranks ranks) {
    int sum = 0;
    for (const std::int32_t lane : ranks.lane) sum += lane;
    return sum;
  }
  /// Adds one where (a, index_a) comes before (b, index_b).
  static Ranks count_before(Ranks ranks, Reg a, Index index_a, Reg b, Index index_b) {
    for (int i = 0; i < kWidth; ++i) {
      const bool before = a.lane[i] < b.lane[i] || (a.lane[i] == b.lane[i] && index_a.lane[i] < index_b.lane[i]);
      ranks.lane[i] += before ? 1 : 0;
    }
    return ranks;
  }
  static void store_ranks(Bits* to, Ranks ranks) {
    for (int i = 0; i < kWidth; ++i) to[i] = ranks.lane[i];
  }
};

}  // namespace

void get_kernels_reference(Kernels<float>& kernels) { fill_kernels<Plain<float, std::int32_t>>(kernels); }
void get_kernels_reference(Kernels<double>& kernels) { fill_kernels<Plain<double, std::int64_t>>(kernels); }

}  // namespace starling::neighbors::host
