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

  // Codes of a byte: a table of 64 bytes in a register, or of 256 in four (AVX-512 VBMI).
  template <typename R>
  static bool requantized(const R& r, std::uint8_t) {
    const auto* const in = static_cast<const std::uint8_t*>(r.in);
    const auto* const table = static_cast<const std::uint8_t*>(r.table);
    auto* const out = static_cast<std::uint8_t*>(r.out);
    const int bytes = r.columns * kTile;
    const Int t0 = _mm512_loadu_si512(table);
    if (r.codes <= 64) {
      for (int i = 0; i < bytes; i += 64) {
        __builtin_prefetch(in + bytes + i);
        _mm512_storeu_si512(out + i, _mm512_permutexvar_epi8(_mm512_loadu_si512(in + i), t0));
      }
      return true;
    }
    const Int t1 = _mm512_loadu_si512(table + 64), t2 = _mm512_loadu_si512(table + 128),
              t3 = _mm512_loadu_si512(table + 192);
    for (int i = 0; i < bytes; i += 64) {
      __builtin_prefetch(in + bytes + i);
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
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// One shape serves all products: to change it takes as long as a third of a product of 48 inputs and outputs.
void enter_tiles() {
  const TileShapes shapes;
  // The intrinsic says that it reads eight bytes of them.
  asm volatile("" : : "r"(&shapes) : "memory");
  _tile_loadconfig(&shapes);
}
void leave_tiles() { _tile_release(); }

constexpr int kTileOutputs = 16, kTileStartLanes = 16, kWeightBytes = kTileOutputs * kMostDepth;

/// Sums of 16 rows and of up to three times 16 outputs, in registers 0 .. 2; 6 holds the codes of the rows, 7 the
/// weights of 16 outputs. Codes of a tile lie as the unit reads them. Loads of tiles do not say that they read memory:
/// nothing in this function may write what they load.
void product_of_rows(const IntegerProduct& p, int row, int column, const char* weights) {
  constexpr int kSumBytes = V::kTile * sizeof(std::int32_t);
  const IntegerWeights& w = *p.weights;
  const int panels = (w.columns - column) / kTileOutputs;
  const std::ptrdiff_t panel = (w.inputs + kMostDepth - 1) / kMostDepth * std::ptrdiff_t{kWeightBytes};
  std::int32_t* const sums = static_cast<std::int32_t*>(p.sums) + column * V::kTile + row;
  const std::int32_t* const start = p.onto_sums ? sums : words(w.start) + std::ptrdiff_t{column} * kTileStartLanes;
  const int start_bytes = p.onto_sums ? kSumBytes : kTileStartLanes * 4, next = kTileOutputs * start_bytes / 4;
  _tile_loadd(0, start, start_bytes);
  if (panels > 1) _tile_loadd(1, start + next, start_bytes);
  if (panels > 2) _tile_loadd(2, start + 2 * next, start_bytes);
  const std::int32_t* codes = words(p.codes) + row;
  for (int k = 0; k < w.inputs; k += kMostDepth, codes += kMostDepth / 4 * V::kTile, weights += kWeightBytes) {
    _tile_loadd(6, codes, kSumBytes);
    _tile_loadd(7, weights, kMostDepth);
    _tile_dpbsud(0, 7, 6);
    if (panels > 1) {
      _tile_loadd(7, weights + panel, kMostDepth);
      _tile_dpbsud(1, 7, 6);
    }
    if (panels > 2) {
      _tile_loadd(7, weights + 2 * panel, kMostDepth);
      _tile_dpbsud(2, 7, 6);
    }
  }
  _tile_stored(0, sums, kSumBytes);
  if (panels > 1) _tile_stored(1, sums + kTileOutputs * V::kTile, kSumBytes);
  if (panels > 2) _tile_stored(2, sums + 2 * kTileOutputs * V::kTile, kSumBytes);
}

/// The product with the tile unit (AMX). Row by row, since codes are also made so: the first rows are there, and their
/// sums are, while the last are on their way.
void product_of_tiles(const IntegerProduct& p) {
  static_assert(V::kTile == 64 && kCodeColumns % kTileOutputs == 0);
  const IntegerWeights& w = *p.weights;
  const int padded = (w.inputs + kMostDepth - 1) / kMostDepth * kMostDepth;
  fetch_ahead(p, 0, w.columns);
  for (int row = 0; row < V::kTile; row += 16) {
    for (int column = 0; column < w.columns; column += 3 * kTileOutputs) {
      product_of_rows(p, row, column, static_cast<const char*>(w.panels) + std::ptrdiff_t{padded} * column);
    }
  }
}

constexpr starling::dense::IntegerKernels tile_kernels() {
  starling::dense::IntegerKernels all = kernels<std::uint8_t>("amx", 0.);
  all.panel = kTileOutputs;
  all.depth = kMostDepth;
  all.start_lanes = kTileStartLanes;
  all.enter = enter_tiles;
  all.leave = leave_tiles;
  all.product = product_of_tiles;
  return all;
}

}  // namespace

const starling::dense::IntegerKernels starling::dense::kIntegerAvx512VnniOf8 =
    kernels<std::uint8_t>("avx512_vnni", 0.5);
const starling::dense::IntegerKernels starling::dense::kIntegerAvx512VnniOf16 =
    kernels<std::uint16_t>("avx512_vnni", 0.5);
const starling::dense::IntegerKernels starling::dense::kIntegerAvx512AmxOf8 = tile_kernels();
