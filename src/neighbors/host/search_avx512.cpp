#include <immintrin.h>

#include <cstdint>

#include "neighbors/host/search_kernel.h"

namespace starling::neighbors::host {
namespace {

/// Eight lanes in the instructions of AVX-512: nodes have eight children, and masks in registers need no tables.
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
  static unsigned less(Reg a, Reg b) { return _mm256_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static unsigned less_equal(Reg a, Reg b) { return _mm256_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static unsigned equal(Reg a, Reg b) { return _mm256_cmp_ps_mask(a, b, _CMP_EQ_OQ); }

  static Index set_index(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Index load_index(const std::int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static unsigned index_less_equal(Index a, Index b) { return _mm256_cmple_epi32_mask(a, b); }

  static void compress(float* to, std::int32_t* to_index, Reg a, Index index, unsigned chosen) {
    const auto mask = static_cast<__mmask8>(chosen);
    _mm256_storeu_ps(to, _mm256_maskz_compress_ps(mask, a));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_index), _mm256_maskz_compress_epi32(mask, index));
  }

  static Ranks no_ranks() { return _mm256_setzero_si256(); }
  static Ranks add_one(Ranks ranks, __mmask8 mask) {
    return _mm256_mask_add_epi32(ranks, mask, ranks, _mm256_set1_epi32(1));
  }
  static Ranks count_less(Ranks ranks, Reg a, Reg b) { return add_one(ranks, _mm256_cmp_ps_mask(a, b, _CMP_LT_OQ)); }
  static Ranks count_less_equal(Ranks ranks, Reg a, Reg b) {
    return add_one(ranks, _mm256_cmp_ps_mask(a, b, _CMP_LE_OQ));
  }
  static int sum(Ranks ranks) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(ranks), _mm256_extracti128_si256(ranks, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
  }
  static Ranks count_before(Ranks ranks, Reg a, Index index_a, Reg b, Index index_b) {
    const __mmask8 ties = _mm256_mask_cmplt_epi32_mask(_mm256_cmp_ps_mask(a, b, _CMP_EQ_OQ), index_a, index_b);
    return add_one(ranks, _mm256_cmp_ps_mask(a, b, _CMP_LT_OQ) | ties);
  }
  static void store_ranks(Bits* to, Ranks ranks) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), ranks); }
};

struct Double8 {
  using Scalar = double;
  using Bits = std::int64_t;
  using Reg = __m512d;
  using Index = __m256i;
  using Ranks = __m512i;
  static constexpr int kWidth = 8;

  static double infinity() { return __builtin_inf(); }
  static double nan() { return __builtin_nan(""); }
  static Bits to_bits(double x) { return __builtin_bit_cast(Bits, x); }
  static double from_bits(Bits bits) { return __builtin_bit_cast(double, bits); }

  static Reg zero() { return _mm512_setzero_pd(); }
  static Reg set(double x) { return _mm512_set1_pd(x); }
  static Reg load(const double* from) { return _mm512_loadu_pd(from); }
  static void store(double* to, Reg a) { _mm512_storeu_pd(to, a); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_pd(a, b); }
  static Reg max(Reg a, Reg b) { return _mm512_max_pd(a, b); }
  static Reg min(Reg a, Reg b) { return _mm512_min_pd(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_pd(a, b, c); }
  static unsigned less(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
  static unsigned less_equal(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static unsigned equal(Reg a, Reg b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }

  static Index set_index(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Index load_index(const std::int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static unsigned index_less_equal(Index a, Index b) { return _mm256_cmple_epi32_mask(a, b); }

  static void compress(double* to, std::int32_t* to_index, Reg a, Index index, unsigned chosen) {
    const auto mask = static_cast<__mmask8>(chosen);
    _mm512_storeu_pd(to, _mm512_maskz_compress_pd(mask, a));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_index), _mm256_maskz_compress_epi32(mask, index));
  }

  static Ranks no_ranks() { return _mm512_setzero_si512(); }
  static Ranks add_one(Ranks ranks, __mmask8 mask) {
    return _mm512_mask_add_epi64(ranks, mask, ranks, _mm512_set1_epi64(1));
  }
  static Ranks count_less(Ranks ranks, Reg a, Reg b) { return add_one(ranks, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)); }
  static Ranks count_less_equal(Ranks ranks, Reg a, Reg b) {
    return add_one(ranks, _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ));
  }
  static int sum(Ranks ranks) { return static_cast<int>(_mm512_reduce_add_epi64(ranks)); }
  static Ranks count_before(Ranks ranks, Reg a, Index index_a, Reg b, Index index_b) {
    const __mmask8 ties = _mm256_mask_cmplt_epi32_mask(_mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ), index_a, index_b);
    return add_one(ranks, _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ) | ties);
  }
  static void store_ranks(Bits* to, Ranks ranks) { _mm512_storeu_si512(to, ranks); }
};

}  // namespace

void get_kernels_avx512(Kernels<float>& kernels) { fill_kernels<Float8>(kernels); }
void get_kernels_avx512(Kernels<double>& kernels) { fill_kernels<Double8>(kernels); }

}  // namespace starling::neighbors::host
