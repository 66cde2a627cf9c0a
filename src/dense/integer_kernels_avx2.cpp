#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct V {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int kWidth = 8, kTile = 32, kPanel = 4;
  static constexpr bool kSaturates = true;

  static Int load(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static Int load_codes(const std::uint16_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Int load_codes(const std::uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(std::int32_t* p, Int a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
  static void store_codes(std::uint16_t* p, Int a) {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, a), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }
  static void store_codes(std::uint8_t* p, Int a) {
    const __m256i halves = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, a), 0xd8);
    const __m128i packed = _mm256_castsi256_si128(halves);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(packed, packed));
  }
  static Int broadcast(std::int32_t a) { return _mm256_set1_epi32(a); }
  static Float broadcast(float a) { return _mm256_set1_ps(a); }

  static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int dot(Int sum, Int weights, Int codes, std::uint8_t) {
    return add(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, weights), _mm256_set1_epi16(1)));
  }
  static Int dot(Int sum, Int weights, Int codes, std::uint16_t) { return add(sum, _mm256_madd_epi16(weights, codes)); }

  static Int load_quarters(const std::int32_t* const* rows, int column) {
    const auto quarter = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[4 * i] + column)); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(quarter(0)), quarter(1), 1);
  }
  static void store_quarters(std::int32_t* p, std::ptrdiff_t stride, Int a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(a));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + stride), _mm256_extracti128_si256(a, 1));
  }
  static void transpose(Int (&a)[4]) {
    const Int low01 = _mm256_unpacklo_epi32(a[0], a[1]), high01 = _mm256_unpackhi_epi32(a[0], a[1]);
    const Int low23 = _mm256_unpacklo_epi32(a[2], a[3]), high23 = _mm256_unpackhi_epi32(a[2], a[3]);
    a[0] = _mm256_unpacklo_epi64(low01, low23);
    a[1] = _mm256_unpackhi_epi64(low01, low23);
    a[2] = _mm256_unpacklo_epi64(high01, high23);
    a[3] = _mm256_unpackhi_epi64(high01, high23);
  }

  static Int broadcast_code(std::uint8_t a) { return _mm256_set1_epi8(static_cast<char>(a)); }
  static Int pack(const Int* a, std::uint8_t) {
    return _mm256_packus_epi16(_mm256_packs_epi32(a[0], a[1]), _mm256_packs_epi32(a[2], a[3]));
  }
  static Int least(Int a, Int b, std::uint8_t) { return _mm256_min_epu8(a, b); }
  static std::uint64_t differing(Int a, Int b, std::uint8_t) {
    return static_cast<std::uint32_t>(~_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)));
  }
  static Int by_rows(Int a, std::uint8_t) {
    return _mm256_shuffle_epi8(
        a, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
  }
  static Int in_order(Int a, std::uint8_t) {
    return _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

  static Int broadcast_code(std::uint16_t a) { return _mm256_set1_epi16(static_cast<short>(a)); }
  static Int pack(const Int* a, std::uint16_t) { return _mm256_packus_epi32(a[0], a[1]); }
  static Int least(Int a, Int b, std::uint16_t) { return _mm256_min_epu16(a, b); }
  static std::uint64_t differing(Int a, Int b, std::uint16_t) {
    const Int same = _mm256_cmpeq_epi16(a, b);
    if (_mm256_movemask_epi8(same) == -1) return 0;
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(same), _mm256_extracti128_si256(same, 1));
    return static_cast<unsigned>(~_mm_movemask_epi8(bytes)) & 0xffffu;
  }
  static Int by_rows(Int a, std::uint16_t) {
    return _mm256_shuffle_epi8(
        a, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15)));
  }
  static Int in_order(Int a, std::uint16_t) { return _mm256_permute4x64_epi64(a, 0xd8); }

  template <typename R, typename Code>
  static bool requantized(const R&, Code) {
    return false;
  }

  static Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static Int to_int(Float a) { return _mm256_cvtps_epi32(a); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float sqrt(Float a) { return _mm256_sqrt_ps(a); }
  static unsigned less(Float a, Float b) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)));
  }
  static Float magnitude(Float a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.f), a); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
};

/// Codes of a byte: products of pairs in 16 bits, which hold the sum of kChain of them, then in 32.
template <int kChain, int kOutputs>
void accumulate_chains(V::Int (&sum)[kOutputs][2], const std::int32_t* codes, int groups, const std::int32_t* weights) {
  const V::Int ones = _mm256_set1_epi16(1);
  for (int k = 0; k < groups; k += kChain, codes += kChain * V::kTile, weights += kChain * kOutputs) {
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      V::Int pairs[2];
#pragma GCC unroll 4
      for (int i = 0; i < kChain; ++i) {
        const V::Int w = V::broadcast(weights[i * kOutputs + o]);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const V::Int both = _mm256_maddubs_epi16(V::load(codes + i * V::kTile + v * V::kWidth), w);
          pairs[v] = i == 0 ? both : _mm256_add_epi16(pairs[v], both);
        }
      }
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) sum[o][v] = V::add(sum[o][v], _mm256_madd_epi16(pairs[v], ones));
    }
  }
}

template <int kOutputs>
void accumulate_pairs(V::Int (&sum)[kOutputs][2], const std::int32_t* codes, int groups, const std::int32_t* weights,
                      int chain) {
  switch (chain) {
    case 4:
      return accumulate_chains<4>(sum, codes, groups, weights);
    case 2:
      return accumulate_chains<2>(sum, codes, groups, weights);
    default:
      return accumulate_chains<1>(sum, codes, groups, weights);
  }
}

}  // namespace

#include "dense/integer_kernels_simd.h"

const starling::dense::IntegerKernels starling::dense::kIntegerAvx2Of8 = kernels<std::uint8_t>("avx2", 0.5);
const starling::dense::IntegerKernels starling::dense::kIntegerAvx2Of16 = kernels<std::uint16_t>("avx2", 0.5);
