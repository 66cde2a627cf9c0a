#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct V {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int kWidth = 8, kPanel = 3;
  // Sums and weights in 16 registers; for codes of a byte sums of 16 bits as well.
  static constexpr int rows_at_once(int panel, std::uint16_t) { return panel == 3 ? 4 : 6; }
  static constexpr int rows_at_once(int panel, std::uint8_t) { return panel == 3 ? 2 : 3; }

  static Int load(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static Int load_codes(const std::uint16_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Int load_codes(const std::uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(std::int32_t* p, Int a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
  static void store(float* p, Float a) { _mm256_storeu_ps(p, a); }
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
  static Int min(Int a, Int b) { return _mm256_min_epi32(a, b); }
  static Int max(Int a, Int b) { return _mm256_max_epi32(a, b); }
  // Products of pairs of bytes saturate at 16 bits: without a bound, codes have two bytes.
  static Int dot(Int sum, Int weights, Int inputs, std::uint16_t) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(weights, inputs));
  }

  static constexpr int packed_vectors(std::uint8_t) { return 4; }
  static Int broadcast_code(std::uint8_t a) { return _mm256_set1_epi8(static_cast<char>(a)); }
  static Int pack(const Int* a, std::uint8_t) {
    const Int low = _mm256_packs_epi32(a[0], a[1]), high = _mm256_packs_epi32(a[2], a[3]);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
  static Int least(Int a, Int b, std::uint8_t) { return _mm256_min_epu8(a, b); }
  static void store_packed(std::uint8_t* p, Int a, int count) {
    if (count >= 32) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(a));
  }
  static std::uint64_t differing(Int a, Int b, std::uint8_t) {
    return static_cast<std::uint32_t>(~_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)));
  }
  template <typename R>
  static bool requantized(const R&, std::uint8_t) {
    return false;
  }

  static constexpr int packed_vectors(std::uint16_t) { return 2; }
  static Int broadcast_code(std::uint16_t a) { return _mm256_set1_epi16(static_cast<short>(a)); }
  static Int pack(const Int* a, std::uint16_t) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a[0], a[1]), 0xd8);
  }
  static Int least(Int a, Int b, std::uint16_t) { return _mm256_min_epu16(a, b); }
  static void store_packed(std::uint16_t* p, Int a, int) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
  static std::uint64_t differing(Int a, Int b, std::uint16_t) {
    const Int same = _mm256_cmpeq_epi16(a, b);
    if (_mm256_movemask_epi8(same) == -1) return 0;
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(same), _mm256_extracti128_si256(same, 1));
    return static_cast<unsigned>(~_mm_movemask_epi8(bytes)) & 0xffffu;
  }
  template <typename R>
  static bool requantized(const R&, std::uint16_t) {
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

  static Int sums_of(const std::int32_t* p) {
    const Int a = _mm256_hadd_epi32(load(p), load(p + 8)), b = _mm256_hadd_epi32(load(p + 16), load(p + 24));
    const Int c = _mm256_hadd_epi32(load(p + 32), load(p + 40)), d = _mm256_hadd_epi32(load(p + 48), load(p + 56));
    const Int low = _mm256_hadd_epi32(a, b), high = _mm256_hadd_epi32(c, d);  // of halves of rows 0..3, and 4..7
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
  }
  static Float sums_of(const float* p) {
    const Float a = _mm256_hadd_ps(load(p), load(p + 8)), b = _mm256_hadd_ps(load(p + 16), load(p + 24));
    const Float c = _mm256_hadd_ps(load(p + 32), load(p + 40)), d = _mm256_hadd_ps(load(p + 48), load(p + 56));
    const Float low = _mm256_hadd_ps(a, b), high = _mm256_hadd_ps(c, d);
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  }
};

/// Codes of a byte: products of pairs in 16 bits, which hold the sum of `chain` of them, then in 32.
template <int kVectors, int kRows>
void accumulate(__m256i (&sum)[kRows][kVectors], const std::uint8_t* codes, std::ptrdiff_t stride, int width,
                const char* weights, int chain) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int first = 0; first < width; first += 4 * chain) {
    const int end = first + 4 * chain < width ? first + 4 * chain : width;
    __m256i pairs[kRows][kVectors];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) pairs[r][v] = _mm256_setzero_si256();
    }
    for (int k = first; k < end; k += 4, weights += sizeof(__m256i) * kVectors) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        std::int32_t together;
        __builtin_memcpy(&together, codes + r * stride + k, sizeof together);
        const __m256i value = _mm256_set1_epi32(together);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights) + v);
          pairs[r][v] = _mm256_add_epi16(pairs[r][v], _mm256_maddubs_epi16(value, w));
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = V::add(sum[r][v], _mm256_madd_epi16(pairs[r][v], ones));
    }
  }
}

}  // namespace

#include "dense/integer_kernels_simd.h"

namespace {

template <typename Code>
constexpr starling::dense::IntegerKernels kernels(int most_pair) {
  return {"avx2",
          sizeof(Code),
          sizeof(std::int32_t),
          V::kWidth,
          V::kPanel,
          kGroup<Code>,
          4 / kGroup<Code>,
          most_pair,
          product<Code>,
          quantize<Code>,
          requantize<Code>,
          sum_rows<Code>,
          quantize_sums<Code>,
          quantize_values<Code>};
}

}  // namespace

// Two pairs at least are added up in 16 bits: one by one they would be no faster than codes of two bytes.
const starling::dense::IntegerKernels starling::dense::kIntegerAvx2Of8 = kernels<std::uint8_t>((1 << 14) - 1);
const starling::dense::IntegerKernels starling::dense::kIntegerAvx2Of16 = kernels<std::uint16_t>(0x7fffffff);
