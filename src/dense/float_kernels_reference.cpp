namespace {

// Four floats in plain C++.
struct V {
  struct Float {
    float lane[4];
  };
  static constexpr int kWidth = 4, kPanel = 4;
  static constexpr int rows_at_once(int) { return 2; }

  static Float load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static void store(float* p, Float a) {
    for (int i = 0; i < kWidth; ++i) p[i] = a.lane[i];
  }
  static Float broadcast(float a) { return {{a, a, a, a}}; }
  static Float zero() { return broadcast(0.f); }
  static Float add(Float a, Float b) {
    for (int i = 0; i < kWidth; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static Float mul(Float a, Float b) {
    for (int i = 0; i < kWidth; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
#ifdef __FP_FAST_FMAF
  static Float fma(Float a, Float b, Float c) { return fused(a, b, c); }
#else
  // a b + c rounded once, without an instruction for it. The product of two floats is exact in double. The sum rounded
  // to double and then to float is the sum rounded once, unless the double lies midway between two floats or the float
  // is below the normal ones; there the library decides.
  static Float fma(Float a, Float b, Float c) {
    double sum[kWidth];
    bool doubtful = false;
    for (int i = 0; i < kWidth; ++i) {
      sum[i] = double{a.lane[i]} * double{b.lane[i]} + double{c.lane[i]};
      unsigned long long bits;
      static_assert(sizeof bits == sizeof sum[i]);
      __builtin_memcpy(&bits, &sum[i], sizeof bits);
      constexpr unsigned kBelowFloat = 0x1fffffff, kMidway = 0x10000000, kNormal = 0x38100000;
      const auto low = static_cast<unsigned>(bits), high = static_cast<unsigned>(bits >> 32) & 0x7fffffff;
      doubtful |= (low & kBelowFloat) == kMidway || (high != 0 && high < kNormal);
    }
    if (__builtin_expect(doubtful, 0)) return fused(a, b, c);
    for (int i = 0; i < kWidth; ++i) c.lane[i] = static_cast<float>(sum[i]);
    return c;
  }
#endif
  static Float relu(Float a) {
    for (float& value : a.lane) value = value < 0.f ? 0.f : value;  // NaN stays
    return a;
  }

 private:
  static Float fused(Float a, Float b, Float c) {
    for (int i = 0; i < kWidth; ++i) c.lane[i] = __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]);
    return c;
  }
};

}  // namespace

#include "dense/float_kernels_simd.h"

const starling::dense::FloatKernels starling::dense::kFloatReference = kKernels;
