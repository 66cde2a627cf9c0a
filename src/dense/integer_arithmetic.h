#pragma once

#include <cstdint>

#include "arithmetic/host_device.h"

/// What follows a sum of integer products, value by value: the definition that every kernel equals to the last bit, on
/// the host and on a device (docs/network.md, Arithmetic of integers). On the host static functions: each file has its
/// own, compiled with its own flags.
namespace starling::dense {

/// A quantiser as arithmetic reads it.
struct CodeGrid {
  float scale = 1.f;
  std::int32_t lowest = 0, highest = 0;
};

/// rint for |x| <= 2^22, ties to even.
STARLING_HOST_DEVICE std::int32_t round_to_even(float x) {
  constexpr float kOnes = 12582912.f;  // 1.5 · 2^23: floats from there on are whole numbers
  return static_cast<std::int32_t>((x + kOnes) - kOnes);
}

/// rint for |x| <= 2^50, ties to even.
STARLING_HOST_DEVICE std::int64_t round_to_even(double x) {
  constexpr double kOnes = 6755399441055744.;  // 1.5 · 2^52
  return static_cast<std::int64_t>((x + kOnes) - kOnes);
}

/// The code of a value; NaN has the lowest.
STARLING_HOST_DEVICE std::int32_t code_of(float value, const CodeGrid& grid) {
  float steps = value / grid.scale;
  const float lowest = static_cast<float>(grid.lowest), highest = static_cast<float>(grid.highest);
  steps = steps > lowest ? steps : lowest;
  steps = steps < highest ? steps : highest;
  return round_to_even(steps);
}

/// The value of a code or a sum: both operations round to nearest.
STARLING_HOST_DEVICE float value_of(std::int64_t code, float scale) { return static_cast<float>(code) * scale; }

/// The exact sums of a row, or of a column, that normalisation needs.
struct IntegerMoments {
  std::int64_t count = 0, sum = 0;
  __int128 squares = 0;
};

STARLING_HOST_DEVICE void add_to(IntegerMoments& moments, std::int64_t a) {
  moments.sum += a;
  moments.squares += static_cast<__int128>(a) * a;
}

/// To the nearest double, ties to even.
STARLING_HOST_DEVICE double rounded(__int128 value) {
  const bool negative = value < 0;
  const unsigned __int128 magnitude =
      negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  std::uint64_t high = static_cast<std::uint64_t>(magnitude >> 64), low = static_cast<std::uint64_t>(magnitude);
  double power = 1.;
  // 64 bits from the first one on; what is cut off is seen in the last of them, as far as rounding goes.
  while (high != 0) {
    low = low >> 1 | high << 63 | (low & 1);
    high >>= 1;
    power *= 2.;
  }
  const double result = static_cast<double>(low) * power;
  return negative ? -result : result;
}

/// count · sum of squares - square of the sum, rounded once: count² times the variance.
STARLING_HOST_DEVICE double spread_of(const IntegerMoments& moments) {
  return rounded(static_cast<__int128>(moments.count) * moments.squares -
                 static_cast<__int128>(moments.sum) * moments.sum);
}

/// count · a - sum, rounded once: count times the difference from the mean.
STARLING_HOST_DEVICE double difference_from_mean(const IntegerMoments& moments, std::int64_t a) {
  return rounded(static_cast<__int128>(moments.count) * a - static_cast<__int128>(moments.sum));
}

/// count² ε / scale²: what normalisation over so many sums of this scale adds to their spread.
STARLING_HOST_DEVICE double spread_floor(double count, double epsilon, double scale) {
  return count * count * epsilon / (scale * scale);
}

/// √(spread + spread_floor()): count times the deviation, in units of the sums' scale.
STARLING_HOST_DEVICE double integer_deviation(const IntegerMoments& moments, double floor) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(spread_of(moments) + floor);
#else
  return __builtin_sqrt(spread_of(moments) + floor);
#endif
}

/// integer_deviation() of a column of sums of one scale.
STARLING_HOST_DEVICE double batch_deviation(const IntegerMoments& moments, double epsilon, double scale) {
  return integer_deviation(moments, spread_floor(static_cast<double>(moments.count), epsilon, scale));
}

/// What batch normalisation makes of a normalised value.
STARLING_HOST_DEVICE float batch_normalised(double value, float weight, float bias) {
  return static_cast<float>(value * double{weight} + double{bias});
}

/// A sum brought from its channel's scale to the common one: ratio = channel's / common.
STARLING_HOST_DEVICE std::int64_t rescaled(std::int64_t sum, double ratio) {
  return round_to_even(static_cast<double>(sum) * ratio);
}

}  // namespace starling::dense
