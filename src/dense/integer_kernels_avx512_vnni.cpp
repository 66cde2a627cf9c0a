#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct V {
  using Int = __m512i;
  using Float = __m512;
  static constexpr int kWidth = 16, kTile = 64, kPanel = 12;
  static constexpr bool kSaturates = false;

  static Int load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Int load_codes(const std::uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Int load_codes(const std::uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store(std::int32_t* p, Int a) { _mm512_storeu_si512(p, a); }
  static void store_codes(std::uint8_t* p, Int a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
  }
  static void store_codes(std::uint16_t* p, Int a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
  }
  static Int broadcast(std::int32_t a) { return _mm512_set1_epi32(a); }
  static Float broadcast(float a) { return _mm512_set1_ps(a); }

  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int dot(Int sum, Int weights, Int codes, std::uint8_t) { return _mm512_dpbusd_epi32(sum, codes, weights); }
  static Int dot(Int sum, Int weights, Int codes, std::uint16_t) { return _mm512_dpwssd_epi32(sum, codes, weights); }

  static Int load_quarters(const std::int32_t* const* rows, int column) {
    const auto quarter = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[4 * i] + column)); };
    Int a = _mm512_castsi128_si512(quarter(0));
    a = _mm512_inserti32x4(a, quarter(1), 1);
    a = _mm512_inserti32x4(a, quarter(2), 2);
    return _mm512_inserti32x4(a, quarter(3), 3);
  }
  static void store_quarters(std::int32_t* p, std::ptrdiff_t stride, Int a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_castsi512_si128(a));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + stride), _mm512_extracti32x4_epi32(a, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 2 * stride), _mm512_extracti32x4_epi32(a, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 3 * stride), _mm512_extracti32x4_epi32(a, 3));
  }
  static void transpose(Int (&a)[4]) {
    const Int low01 = _mm512_unpacklo_epi32(a[0], a[1]), high01 = _mm512_unpackhi_epi32(a[0], a[1]);
    const Int low23 = _mm512_unpacklo_epi32(a[2], a[3]), high23 = _mm512_unpackhi_epi32(a[2], a[3]);
    a[0] = _mm512_unpacklo_epi64(low01, low23);
    a[1] = _mm512_unpackhi_epi64(low01, low23);
    a[2] = _mm512_unpacklo_epi64(high01, high23);
    a[3] = _mm512_unpackhi_epi64(high01, high23);
  }

  static Int broadcast_code(std::uint8_t a) { return _mm512_set1_epi8(static_cast<char>(a)); }
  static Int pack(const Int* a, std::uint8_t) {
    return _mm512_packus_epi16(_mm512_packs_epi32(a[0], a[1]), _mm512_packs_epi32(a[2], a[3]));
  }
  static Int least(Int a, Int b, std::uint8_t) { return _mm512_min_epu8(a, b); }
  static std::uint64_t differing(Int a, Int b, std::uint8_t) { return _mm512_cmpneq_epi8_mask(a, b); }
  static Int by_rows(Int a, std::uint8_t) {
    return _mm512_shuffle_epi8(
        a, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
  }
  static Int in_order(Int a, std::uint8_t) {
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), a);
  }

  static Int broadcast_code(std::uint16_t a) { return _mm512_set1_epi16(static_cast<short>(a)); }
  static Int pack(const Int* a, std::uint16_t) { return _mm512_packus_epi32(a[0], a[1]); }
  static Int least(Int a, Int b, std::uint16_t) { return _mm512_min_epu16(a, b); }
  static std::uint64_t differing(Int a, Int b, std::uint16_t) { return _mm512_cmpneq_epi16_mask(a, b); }
  static Int by_rows(Int a, std::uint16_t) {
    return _mm512_shuffle_epi8(
        a, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15)));
  }
  static Int in_order(Int a, std::uint16_t) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), a);
  }

  // Codes of a byte: a table of 256 bytes in four registers (AVX-512 VBMI).
  template <typename R>
  static bool requantized(const R& r, std::uint8_t) {
    const auto* const in = static_cast<const std::uint8_t*>(r.in);
    const auto* const table = static_cast<const std::uint8_t*>(r.table);
    auto* const out = static_cast<std::uint8_t*>(r.out);
    const Int t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64), t2 = _mm512_loadu_si512(table + 128),
              t3 = _mm512_loadu_si512(table + 192);
    for (int i = 0; i < r.columns * kTile; i += 64) {
      const Int codes = _mm512_loadu_si512(in + i);
      const Int low = _mm512_permutex2var_epi8(t0, codes, t1), high = _mm512_permutex2var_epi8(t2, codes, t3);
      _mm512_storeu_si512(out + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high));
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
};

}  // namespace

#include "dense/integer_kernels_simd.h"

namespace {

/// What the tile unit's registers hold: rows, and bytes of a row.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {};
  std::uint8_t rows[16] = {};
};

/// The product with the tile unit (AMX): registers 0 .. 3 hold the sums of 16 outputs and 64 rows, 4 the weights of the
/// 16 outputs, 5 and 6 the codes of 16 rows in turn. Codes of a tile lie as the unit reads them.
void product_of_tiles(const IntegerProduct& p) {
  constexpr int kOutputs = 16, kStartLanes = 16, kSumBytes = V::kTile * sizeof(std::int32_t);
  static_assert(V::kTile == 64 && kCodeColumns % kOutputs == 0);
  const IntegerWeights& w = *p.weights;
  const int chunk = chunk_inputs(w.inputs), chunks = w.inputs / chunk;
  TileShapes shapes;
  for (int i = 0; i < 4; ++i) {
    shapes.rows[i] = kOutputs;
    shapes.bytes[i] = 64;
  }
  shapes.rows[4] = kOutputs;
  shapes.bytes[4] = static_cast<std::uint16_t>(chunk);
  for (int i = 5; i < 7; ++i) {
    shapes.rows[i] = static_cast<std::uint8_t>(chunk / 4);
    shapes.bytes[i] = 64;
  }
  // The intrinsic says that it reads eight bytes of them. Loads of tiles do not say that they read memory: nothing in
  // this function may write what they load.
  asm volatile("" : : "r"(&shapes) : "memory");
  _tile_loadconfig(&shapes);
  const char* weights = static_cast<const char*>(w.panels);
  for (int column = 0; column < w.columns; column += kOutputs) {
    fetch_ahead(p, column, column + kOutputs);
    std::int32_t* const sums = static_cast<std::int32_t*>(p.sums) + column * V::kTile;
    if (p.onto_sums) {
      _tile_loadd(0, sums, kSumBytes);
      _tile_loadd(1, sums + 16, kSumBytes);
      _tile_loadd(2, sums + 32, kSumBytes);
      _tile_loadd(3, sums + 48, kSumBytes);
    } else {
      const std::int32_t* const start = words(w.start) + column * kStartLanes;
      _tile_loadd(0, start, 64);
      _tile_loadd(1, start, 64);
      _tile_loadd(2, start, 64);
      _tile_loadd(3, start, 64);
    }
    const std::int32_t* codes = words(p.codes);
    for (int i = 0; i < chunks; ++i, codes += chunk / 4 * V::kTile, weights += 64 * kOutputs) {
      _tile_loadd(4, weights, 64);
      _tile_loadd(5, codes, kSumBytes);
      _tile_dpbsud(0, 4, 5);
      _tile_loadd(6, codes + 16, kSumBytes);
      _tile_dpbsud(1, 4, 6);
      _tile_loadd(5, codes + 32, kSumBytes);
      _tile_dpbsud(2, 4, 5);
      _tile_loadd(6, codes + 48, kSumBytes);
      _tile_dpbsud(3, 4, 6);
    }
    _tile_stored(0, sums, kSumBytes);
    _tile_stored(1, sums + 16, kSumBytes);
    _tile_stored(2, sums + 32, kSumBytes);
    _tile_stored(3, sums + 48, kSumBytes);
  }
  _tile_release();
}

constexpr starling::dense::IntegerKernels tile_kernels() {
  starling::dense::IntegerKernels all = kernels<std::uint8_t>("amx", 0.);
  all.panel = 16;
  all.depth = 64;
  all.start_lanes = 16;
  all.product = product_of_tiles;
  return all;
}

}  // namespace

const starling::dense::IntegerKernels starling::dense::kIntegerAvx512VnniOf8 =
    kernels<std::uint8_t>("avx512_vnni", 0.5);
const starling::dense::IntegerKernels starling::dense::kIntegerAvx512VnniOf16 =
    kernels<std::uint16_t>("avx512_vnni", 0.5);
const starling::dense::IntegerKernels starling::dense::kIntegerAvx512AmxOf8 = tile_kernels();
