namespace {

// Four floats as any C++ compiler adds and multiplies them: no instruction set beyond the language.
struct V {
  struct Float {
    float lane[4];
  };
  static constexpr int kWidth = 4, kPanel = 2;
  static constexpr int rows_at_once(int) { return 4; }

  static Float load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static void store(float* p, Float a) {
    for (int i = 0; i < kWidth; ++i) p[i] = a.lane[i];
  }
  static Float broadcast(float a) { return {{a, a, a, a}}; }
  static Float zero() { return broadcast(0.f); }
  static Float add(Float a, Float b) { return fma(a, broadcast(1.f), b); }
  static Float mul(Float a, Float b) { return fma(a, b, zero()); }
  static Float fma(Float a, Float b, Float c) {
    for (int i = 0; i < kWidth; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
  static Float relu(Float a) {
    for (float& value : a.lane) value = value < 0.f ? 0.f : value;
    return a;
  }
  static float sum(Float a) { return (a.lane[0] + a.lane[1]) + (a.lane[2] + a.lane[3]); }
};

}  // namespace

#include "interaction_network/kernels_simd.h"

const starling::interaction_network::Kernels starling::interaction_network::kReferenceKernels = kKernels;
