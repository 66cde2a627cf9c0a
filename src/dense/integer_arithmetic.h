#pragma once

#include <cstdint>

/// What follows a sum of integer products, value by value: the definition that every kernel equals to the last bit
/// (docs/network.md, Arithmetic of integers). Static functions: each file has its own, compiled with its own flags.
namespace starling::dense {

/// A quantiser as arithmetic reads it.
struct CodeGrid {
  float scale = 1.f;
  std::int32_t lowest = 0, highest = 0;
};

/// rint for |x| <= 2^22, ties to even.
static inline std::int32_t round_to_even(float x) {
  constexpr float kOnes = 12582912.f;  // 1.5 · 2^23: floats from there on are whole numbers
  return static_cast<std::int32_t>((x + kOnes) - kOnes);
}

/// rint for |x| <= 2^50, ties to even.
static inline std::int64_t round_to_even(double x) {
  constexpr double kOnes = 6755399441055744.;  // 1.5 · 2^52
  return static_cast<std::int64_t>((x + kOnes) - kOnes);
}

/// The code of a value; NaN has the lowest.
static inline std::int32_t code_of(float value, const CodeGrid& grid) {
  float steps = value / grid.scale;
  const float lowest = static_cast<float>(grid.lowest), highest = static_cast<float>(grid.highest);
  steps = steps > lowest ? steps : lowest;
  steps = steps < highest ? steps : highest;
  return round_to_even(steps);
}

/// The value of a code or a sum: both operations round to nearest.
static inline float value_of(std::int64_t code, float scale) { return static_cast<float>(code) * scale; }

/// The exact sums of a row, or of a column, that normalisation needs.
struct IntegerMoments {
  std::int64_t count = 0, sum = 0;
  __int128 squares = 0;
};

static inline void add_to(IntegerMoments& moments, std::int64_t a) {
  moments.sum += a;
  moments.squares += static_cast<__int128>(a) * a;
}

/// count · sum of squares - square of the sum, rounded once: count² times the variance.
static inline double spread_of(const IntegerMoments& moments) {
  return static_cast<double>(static_cast<__int128>(moments.count) * moments.squares -
                             static_cast<__int128>(moments.sum) * moments.sum);
}

/// count · a - sum, rounded once: count times the difference from the mean.
static inline double difference_from_mean(const IntegerMoments& moments, std::int64_t a) {
  return static_cast<double>(static_cast<__int128>(moments.count) * a - static_cast<__int128>(moments.sum));
}

/// √(spread + floor), floor = count² ε / s² for sums of the scale s: count times the deviation, in units of s.
static inline double integer_deviation(const IntegerMoments& moments, double floor) {
  return __builtin_sqrt(spread_of(moments) + floor);
}

/// What batch normalisation makes of a normalised value.
static inline float batch_normalised(double value, float weight, float bias) {
  return static_cast<float>(value * double{weight} + double{bias});
}

/// A sum brought from its channel's scale to the common one: ratio = channel's / common.
static inline std::int64_t rescaled(std::int64_t sum, double ratio) {
  return round_to_even(static_cast<double>(sum) * ratio);
}

}  // namespace starling::dense
