#include <immintrin.h>

#include <cstdint>

#include "neighbors/host/search_kernel.h"

namespace starling::neighbors::host {
namespace {

/// For each mask of eight lanes, the chosen lanes' numbers side by side, one byte for each.
struct CompressTable {
  alignas(64) std::uint64_t lanes[256];
  constexpr CompressTable() : lanes() {
    for (unsigned mask = 0; mask < 256; ++mask) {
      int place = 0;
      for (std::uint64_t lane = 0; lane < 8; ++lane) {
        if ((mask >> lane & 1U) != 0) lanes[mask] |= lane << (8 * place++);
      }
    }
  }
};
constexpr CompressTable kCompress;

/// The same for four lanes of eight bytes, as pairs of four-byte lanes, and for four lanes of four bytes.
struct CompressTable4 {
  alignas(64) std::int32_t pairs[16][8];
  alignas(64) std::int32_t lanes[16][4];
  constexpr CompressTable4() : pairs(), lanes() {
    for (int mask = 0; mask < 16; ++mask) {
      int place = 0;
      for (int lane = 0; lane < 4; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        lanes[mask][place] = lane;
        pairs[mask][2 * place] = 2 * lane;
        pairs[mask][2 * place + 1] = 2 * lane + 1;
        ++place;
      }
    }
  }
};
constexpr CompressTable4 kCompress4;

struct Float8 {
  using Scalar = float;
  using Bits = std::int32_t;
  using Reg = __m256;
  using Index = __m256i;
  using Ranks = __m256i;
  static constexpr int kWidth = 8;

  static float infinity() { return __builtin_inff(); }
  static float nan() { return __builtin_nanf(""); }
  static Bits to_bits(float x) { return __builtin_bit_cast(Bits, x); }
  static float from_bits(Bits bits) { return __builtin_bit_cast(float, bits); }

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg set(float x) { return _mm256_set1_ps(x); }
  static Reg load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Reg a) { _mm256_storeu_ps(to, a); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static unsigned mask(Reg a) { return static_cast<unsigned>(_mm256_movemask_ps(a)); }
  static unsigned less(Reg a, Reg b) { return mask(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
  static unsigned less_equal(Reg a, Reg b) { return mask(_mm256_cmp_ps(a, b, _CMP_LE_OQ)); }
  static unsigned equal(Reg a, Reg b) { return mask(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }

  static Index set_index(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Index load_index(const std::int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static unsigned index_less_equal(Index a, Index b) {
    return ~mask(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))) & 0xFFU;
  }

  static void compress(float* to, std::int32_t* to_index, Reg a, Index index, unsigned chosen) {
    const __m256i lanes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(&kCompress.lanes[chosen])));
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(a, lanes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_index), _mm256_permutevar8x32_epi32(index, lanes));
  }

  static Ranks no_ranks() { return _mm256_setzero_si256(); }
  static Ranks count_less(Ranks ranks, Reg a, Reg b) {
    return _mm256_sub_epi32(ranks, _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ)));
  }
  static Ranks count_less_equal(Ranks ranks, Reg a, Reg b) {
    return _mm256_sub_epi32(ranks, _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LE_OQ)));
  }
  static int sum(Ranks ranks) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(ranks), _mm256_extracti128_si256(ranks, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
  }
  static Ranks count_before(Ranks ranks, Reg a, Index index_a, Reg b, Index index_b) {
    const __m256 ties =
        _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), _mm256_castsi256_ps(_mm256_cmpgt_epi32(index_b, index_a)));
    return _mm256_sub_epi32(ranks, _mm256_castps_si256(_mm256_or_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), ties)));
  }
  static void store_ranks(Bits* to, Ranks ranks) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), ranks); }
};

struct Double4 {
  using Scalar = double;
  using Bits = std::int64_t;
  using Reg = __m256d;
  using Index = __m128i;
  using Ranks = __m256i;
  static constexpr int kWidth = 4;

  static double infinity() { return __builtin_inf(); }
  static double nan() { return __builtin_nan(""); }
  static Bits to_bits(double x) { return __builtin_bit_cast(Bits, x); }
  static double from_bits(Bits bits) { return __builtin_bit_cast(double, bits); }

  static Reg zero() { return _mm256_setzero_pd(); }
  static Reg set(double x) { return _mm256_set1_pd(x); }
  static Reg load(const double* from) { return _mm256_loadu_pd(from); }
  static void store(double* to, Reg a) { _mm256_storeu_pd(to, a); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_pd(a, b); }
  static Reg max(Reg a, Reg b) { return _mm256_max_pd(a, b); }
  static Reg min(Reg a, Reg b) { return _mm256_min_pd(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_pd(a, b, c); }
  static unsigned mask(Reg a) { return static_cast<unsigned>(_mm256_movemask_pd(a)); }
  static unsigned less(Reg a, Reg b) { return mask(_mm256_cmp_pd(a, b, _CMP_LT_OQ)); }
  static unsigned less_equal(Reg a, Reg b) { return mask(_mm256_cmp_pd(a, b, _CMP_LE_OQ)); }
  static unsigned equal(Reg a, Reg b) { return mask(_mm256_cmp_pd(a, b, _CMP_EQ_OQ)); }

  static Index set_index(std::int32_t x) { return _mm_set1_epi32(x); }
  static Index load_index(const std::int32_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  static unsigned index_less_equal(Index a, Index b) {
    return ~static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(a, b)))) & 0xFU;
  }

  static void compress(double* to, std::int32_t* to_index, Reg a, Index index, unsigned chosen) {
    const __m256i pairs = _mm256_load_si256(reinterpret_cast<const __m256i*>(kCompress4.pairs[chosen]));
    const __m128i lanes = _mm_load_si128(reinterpret_cast<const __m128i*>(kCompress4.lanes[chosen]));
    _mm256_storeu_pd(to, _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), pairs)));
    _mm_storeu_ps(reinterpret_cast<float*>(to_index), _mm_permutevar_ps(_mm_castsi128_ps(index), lanes));
  }

  static Ranks no_ranks() { return _mm256_setzero_si256(); }
  static Ranks count_less(Ranks ranks, Reg a, Reg b) {
    return _mm256_sub_epi64(ranks, _mm256_castpd_si256(_mm256_cmp_pd(a, b, _CMP_LT_OQ)));
  }
  static Ranks count_less_equal(Ranks ranks, Reg a, Reg b) {
    return _mm256_sub_epi64(ranks, _mm256_castpd_si256(_mm256_cmp_pd(a, b, _CMP_LE_OQ)));
  }
  static int sum(Ranks ranks) {
    const __m128i sum = _mm_add_epi64(_mm256_castsi256_si128(ranks), _mm256_extracti128_si256(ranks, 1));
    return _mm_cvtsi128_si32(_mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum)));
  }
  static Ranks count_before(Ranks ranks, Reg a, Index index_a, Reg b, Index index_b) {
    const __m256i before = _mm256_cvtepi32_epi64(_mm_cmpgt_epi32(index_b, index_a));
    const __m256d ties = _mm256_and_pd(_mm256_cmp_pd(a, b, _CMP_EQ_OQ), _mm256_castsi256_pd(before));
    return _mm256_sub_epi64(ranks, _mm256_castpd_si256(_mm256_or_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ), ties)));
  }
  static void store_ranks(Bits* to, Ranks ranks) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), ranks); }
};

}  // namespace

void get_kernels_avx2(Kernels<float>& kernels) { fill_kernels<Float8>(kernels); }
void get_kernels_avx2(Kernels<double>& kernels) { fill_kernels<Double4>(kernels); }

}  // namespace starling::neighbors::host
