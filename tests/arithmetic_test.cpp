// Functions of src/arithmetic that stand in for the libraries', against those in long double.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "arithmetic/inverse.h"

namespace starling::arithmetic {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLeast = std::numeric_limits<float>::denorm_min();
constexpr float kMost = std::numeric_limits<float>::max();

/// By how many units in the last place of a float `value` misses `exact`.
double units(float value, long double exact) {
  const int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
  return static_cast<double>(std::fabs(value - exact) / std::exp2(static_cast<long double>(exponent - 23)));
}

/// All floats but those that are no numbers are equally likely: magnitudes from the least to the most, both signs.
float any_float(std::mt19937& random) {
  for (;;) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isfinite(value)) return value;
  }
}

void expect_same_bits(float value, float expected) {
  EXPECT_EQ(std::bit_cast<std::uint32_t>(value), std::bit_cast<std::uint32_t>(expected)) << value << " " << expected;
}

TEST(Arctan2, IsWithinItsErrorOfTheExactAngle) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  double worst = 0;
  const auto test = [&](float y, float x) {
    worst = std::max(worst, units(arctan2(y, x), std::atan2(static_cast<long double>(y), static_cast<long double>(x))));
  };
  for (int i = 0; i < 60'000; ++i) {
    test(any_float(random), any_float(random));
    test(1000.f * uniform(random), 1000.f * uniform(random));
    // Around the borders of octants and of the two ranges of the polynomial.
    const float along = uniform(random), near = 1.f + 1e-4f * uniform(random);
    test(along * near, along);
    test(along * 0.41421356f * near, along);
    test(along * 2.41421356f * near, along);
    test(along, 1e-6f * uniform(random));
    test(1e-6f * uniform(random), along);
  }
  EXPECT_LT(worst, 0.501);
  EXPECT_GT(worst, 0.499);  // the test sees roundings at all
}

// Zeros and infinities of both signs, and what is not a number: as C's atan2.
TEST(Arctan2, SpecialValues) {
  for (const float y : {0.f, -0.f, 1.f, -1.f, kLeast, -kLeast, kMost, -kMost, kInfinity, -kInfinity}) {
    for (const float x : {0.f, -0.f, 1.f, -1.f, kLeast, -kLeast, kMost, -kMost, kInfinity, -kInfinity}) {
      expect_same_bits(arctan2(y, x), static_cast<float>(std::atan2(double{y}, double{x})));
    }
    EXPECT_TRUE(std::isnan(arctan2(y, kNaN)));
    EXPECT_TRUE(std::isnan(arctan2(kNaN, y)));
  }
  EXPECT_TRUE(std::isnan(arctan2(kNaN, kNaN)));
}

TEST(Arctan2, IsOddInYToTheLastBit) {
  std::mt19937 random(2);
  for (int i = 0; i < 10'000; ++i) {
    const float y = any_float(random), x = any_float(random);
    expect_same_bits(arctan2(-y, x), -arctan2(y, x));
  }
}

TEST(Arsinh, IsWithinItsErrorOfTheExactValue) {
  double worst = 0;
  const auto test = [&](float x) {
    const float value = arsinh(x);
    worst = std::max(worst, units(value, std::asinh(static_cast<long double>(x))));
    expect_same_bits(arsinh(-x), -value);
  };
  for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 9973) test(std::bit_cast<float>(bits));
  // Pseudorapidities of hits.
  for (float x = 0.f; x < 40.f; x += 1e-3f) test(x);
  EXPECT_LT(worst, 0.501);
  EXPECT_GT(worst, 0.499);
}

TEST(Arsinh, SpecialValues) {
  for (const float x : {0.f, -0.f, kInfinity, -kInfinity, kLeast, -kLeast}) expect_same_bits(arsinh(x), x);
  EXPECT_TRUE(std::isnan(arsinh(kNaN)));
  EXPECT_TRUE(std::isfinite(arsinh(kMost)));
}

}  // namespace
}  // namespace starling::arithmetic
