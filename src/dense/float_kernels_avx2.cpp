#include <immintrin.h>

namespace {

struct V {
  using Float = __m256;
  static constexpr int kWidth = 8, kPanel = 2;
  // 12 sums, 2 weights and a broadcast value in 16 registers.
  static constexpr int rows_at_once(int panel) { return panel == 2 ? 6 : 12; }

  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float a) { _mm256_storeu_ps(p, a); }
  static Float zero() { return _mm256_setzero_ps(); }
  static Float broadcast(float a) { return _mm256_set1_ps(a); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float relu(Float a) { return _mm256_max_ps(zero(), a); }  // the second operand where one is NaN
};

}  // namespace

#include "dense/float_kernels_simd.h"

const starling::dense::FloatKernels starling::dense::kFloatAvx2 = kKernels;
