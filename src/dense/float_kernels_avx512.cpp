#include <immintrin.h>

namespace {

struct V {
  using Float = __m512;
  static constexpr int kWidth = 16, kPanel = 3;
  // 24 sums and their weights in 32 registers.
  static constexpr int rows_at_once(int panel) { return panel == 3 ? 8 : 12; }

  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float a) { _mm512_storeu_ps(p, a); }
  static Float zero() { return _mm512_setzero_ps(); }
  static Float broadcast(float a) { return _mm512_set1_ps(a); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float relu(Float a) { return _mm512_max_ps(zero(), a); }  // the second operand where one is NaN
};

}  // namespace

#include "dense/float_kernels_simd.h"

const starling::dense::FloatKernels starling::dense::kFloatAvx512 = kKernels;
