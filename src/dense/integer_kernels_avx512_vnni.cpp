#include <immintrin.h>

#include <cstdint>

namespace {

struct V {
  using Int = __m512i;
  using Float = __m512;
  static constexpr int kWidth = 16, kPanel = 3;
  template <typename Code>
  static constexpr int rows_at_once(int panel, Code) {
    return panel == 3 ? 8 : 12;
  }  // sums and weights in 32 registers

  static Int load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Int load_codes(const std::uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Int load_codes(const std::uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store(std::int32_t* p, Int a) { _mm512_storeu_si512(p, a); }
  static void store(float* p, Float a) { _mm512_storeu_ps(p, a); }
  static void store_codes(std::uint8_t* p, Int a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
  }
  static void store_codes(std::uint16_t* p, Int a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
  }
  static Int broadcast(std::int32_t a) { return _mm512_set1_epi32(a); }
  static Float broadcast(float a) { return _mm512_set1_ps(a); }

  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int min(Int a, Int b) { return _mm512_min_epi32(a, b); }
  static Int max(Int a, Int b) { return _mm512_max_epi32(a, b); }
  static Int dot(Int sum, Int weights, Int inputs, std::uint8_t) { return _mm512_dpbusd_epi32(sum, inputs, weights); }
  static Int dot(Int sum, Int weights, Int inputs, std::uint16_t) { return _mm512_dpwssd_epi32(sum, inputs, weights); }

  static constexpr int packed_vectors(std::uint8_t) { return 4; }
  static constexpr int packed_vectors(std::uint16_t) { return 2; }
  static Int broadcast_code(std::uint8_t a) { return _mm512_set1_epi8(static_cast<char>(a)); }
  static Int broadcast_code(std::uint16_t a) { return _mm512_set1_epi16(static_cast<short>(a)); }
  // Packing instructions work by quarters of a vector: the quarters' parts are put in order behind.
  static Int pack(const Int* a, std::uint8_t) {
    const Int order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const Int low = _mm512_packs_epi32(a[0], a[1]), high = _mm512_packs_epi32(a[2], a[3]);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
  }
  static Int pack(const Int* a, std::uint16_t) {
    const Int order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    return _mm512_permutexvar_epi64(order, _mm512_packus_epi32(a[0], a[1]));
  }
  static Int least(Int a, Int b, std::uint8_t) { return _mm512_min_epu8(a, b); }
  static Int least(Int a, Int b, std::uint16_t) { return _mm512_min_epu16(a, b); }
  static __mmask64 first(int count) { return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1; }
  static void store_packed(std::uint8_t* p, Int a, int count) { _mm512_mask_storeu_epi8(p, first(count), a); }
  static void store_packed(std::uint16_t* p, Int a, int count) {
    _mm512_mask_storeu_epi16(p, static_cast<__mmask32>(first(count < 32 ? count : 32)), a);
  }
  static std::uint64_t differing(Int a, Int b, std::uint8_t) { return _mm512_cmpneq_epi8_mask(a, b); }
  static std::uint64_t differing(Int a, Int b, std::uint16_t) { return _mm512_cmpneq_epi16_mask(a, b); }

  // Codes of a byte: a table of 256 bytes in four registers (AVX-512 VBMI).
  template <typename R>
  static bool requantized(const R& r, std::uint8_t) {
    const auto* const in = static_cast<const std::uint8_t*>(r.in);
    const auto* const table = static_cast<const std::uint8_t*>(r.table);
    auto* const out = static_cast<std::uint8_t*>(r.out);
    const Int t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64), t2 = _mm512_loadu_si512(table + 128),
              t3 = _mm512_loadu_si512(table + 192);
    for (std::int64_t i = 0; i < r.count; i += 64) {
      const __mmask64 mask = first(r.count - i < 64 ? static_cast<int>(r.count - i) : 64);
      const Int codes = _mm512_maskz_loadu_epi8(mask, in + i);
      const Int low = _mm512_permutex2var_epi8(t0, codes, t1), high = _mm512_permutex2var_epi8(t2, codes, t3);
      _mm512_mask_storeu_epi8(out + i, mask, _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high));
    }
    return true;
  }
  template <typename R>
  static bool requantized(const R&, std::uint16_t) {
    return false;
  }

  static Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static Int to_int(Float a) { return _mm512_cvtps_epi32(a); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float sqrt(Float a) { return _mm512_sqrt_ps(a); }
  static unsigned less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Float magnitude(Float a) { return _mm512_abs_ps(a); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }

  // Lanes of both, added to half as many each: first those of a in the lower half, then those of b.
  static Int fold(Int a, Int b) { return add(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee)); }
  static Float fold(Float a, Float b) {
    return add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  }
  // Quarters 0, 1 of a and b hold their lanes: to one quarter each.
  static Int fold_again(Int a, Int b) {
    return add(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  }
  static Float fold_again(Float a, Float b) {
    return add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  }
  static Int unpack_low(Int a, Int b) { return _mm512_unpacklo_epi32(a, b); }
  static Int unpack_high(Int a, Int b) { return _mm512_unpackhi_epi32(a, b); }
  static Float unpack_low(Float a, Float b) { return _mm512_unpacklo_ps(a, b); }
  static Float unpack_high(Float a, Float b) { return _mm512_unpackhi_ps(a, b); }
  static Int unpack_low_pairs(Int a, Int b) { return _mm512_unpacklo_epi64(a, b); }
  static Int unpack_high_pairs(Int a, Int b) { return _mm512_unpackhi_epi64(a, b); }
  static Float unpack_low_pairs(Float a, Float b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
  static Float unpack_high_pairs(Float a, Float b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }

  template <typename T>
  static auto sums_of(const T* p) {
    using Vector = decltype(load(p));
    // quarter[i]: four partial sums each of rows i, i + 4, i + 8 and i + 12, one quarter per row.
    Vector quarter[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Vector a = fold(load(p + i * 16), load(p + (i + 4) * 16));
      const Vector b = fold(load(p + (i + 8) * 16), load(p + (i + 12) * 16));
      quarter[i] = fold_again(a, b);
    }
    // Lane i of each quarter: the sum of row i + 4 · quarter.
    const Vector a = add(unpack_low(quarter[0], quarter[1]), unpack_high(quarter[0], quarter[1]));
    const Vector b = add(unpack_low(quarter[2], quarter[3]), unpack_high(quarter[2], quarter[3]));
    return add(unpack_low_pairs(a, b), unpack_high_pairs(a, b));
  }
};

}  // namespace

#include "dense/integer_kernels_simd.h"

namespace {

template <typename Code>
constexpr starling::dense::IntegerKernels kernels() {
  return {"avx512_vnni",       sizeof(Code),         sizeof(std::int32_t), V::kWidth,
          V::kPanel,           kGroup<Code>,         4 / kGroup<Code>,     0x7fffffff,
          product<Code>,       quantize<Code>,       requantize<Code>,     sum_rows<Code>,
          quantize_sums<Code>, quantize_values<Code>};
}

}  // namespace

const starling::dense::IntegerKernels starling::dense::kIntegerAvx512VnniOf8 = kernels<std::uint8_t>();
const starling::dense::IntegerKernels starling::dense::kIntegerAvx512VnniOf16 = kernels<std::uint16_t>();
