#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "arithmetic/host_device.h"
#include "dense/integer_arithmetic.h"

// Codes in few instructions. The host tries these forms where it packs a network, with the same results as a device.
namespace starling::dense::cuda {

inline constexpr float kWholes = 12582912.f;  ///< 1.5 · 2^23: a float from there on has its whole number in low bits

/// Bits of which the lowest 22 are rint(part · highest), part from 0 to 1 and highest below 2^21. The product is exact.
STARLING_HOST_DEVICE std::uint32_t whole_bits(float part, float highest) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(__fmaf_rn(part, highest, kWholes));
#else
  const float value = kWholes + static_cast<float>(std::nearbyint(double{part} * double{highest}));
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
#endif
}

/// Codes of states in the codes of another quantiser.
struct Requantizer {
  float scale = 1.f;   ///< of the states
  CodeGrid grid;       ///< of the other
  float factor = 0.f;  ///< requantized_by(code, factor, grid.highest) is the code for each; 0 where there is none
};

/// A device has the product from a fused operation on bits of 2^23 + code.
inline std::uint32_t requantized_by(float code, float factor, float highest) {
  return whole_bits(std::min(code * factor, 1.f), highest) & 0x3fffff;
}

/// Where a column of a row of codes or sums stands in memory: in the order of the registers of tensor cores. Of each 16
/// columns, thread q of a quad has 2q, 2q + 1, 2q + 8 and 2q + 9, side by side.
constexpr int code_index(int column) {
  return column / 16 * 16 + column % 8 / 2 * 4 + column % 16 / 8 * 2 + column % 2;
}

/// Where the byte of a matrix of as many inputs as outputs, 16 · sixteens, stands in packed memory; `input` as
/// code_index() says. They are fragments B of cuda/integer_mma.cuh, of which a thread reads 16 bytes at a time: two
/// tiles of 8 outputs times 32 inputs. The last 16 inputs of an odd number of sixteens follow, 8 bytes at a time.
constexpr int matrix_index(int input, int output, int sixteens) {
  const int pair = input / 32, lane = output % 8 * 4 + input % 16 / 4, tile = output / 8;
  if (pair < sixteens / 2) {
    return ((pair * sixteens + tile / 2) * 32 + lane) * 16 + tile % 2 * 8 + input / 16 % 2 * 4 + input % 4;
  }
  return sixteens / 2 * sixteens * 512 + (tile / 2 * 32 + lane) * 8 + tile % 2 * 4 + input % 4;
}

/// Sums from -2^22 to 2^22 - 1 that began at the bits of kWholes are the bits of kWholes + sum: floats at no cost.
inline constexpr std::int32_t kShift = 0x4b400000;
inline constexpr std::int64_t kMostShifted = (std::int64_t{1} << 22) - 2;  ///< sums whose mean is one, too

/// What follows the sums of a layer of at most 8 bits, up to its codes: IntegerQuantize for a device. Arrays are in its
/// memory.
struct QuantizeSums {
  std::int32_t shift = 0;         ///< that sums began at: kShift, or 0
  const double* ratio = nullptr;  ///< [columns] of rescaled(), or null
  const float* scale = nullptr;   ///< [columns] of value_of(), without normalisation
  CodeGrid grid;
  std::int32_t width = 0;  ///< outputs; columns behind them are padding
  bool normalise = false;  ///< more than 4 outputs, and width times a sum is below 2^31
  double floor = 0.;       ///< of integer_deviation()
  /// Whether the fast form holds; without it all codes are computed by the definition.
  bool bounded = false;
  // Of the fast form: fast_form() sets them.
  const float* factor = nullptr;               ///< [columns] without normalisation
  std::int32_t inverse = 0, inverse_bits = 0;  ///< sum · inverse / 2^(32 + inverse_bits): sum / width
  float step = 0.f, share = 0.f, float_floor = 0.f;
  float highest = 0.f, beyond = 0.f;
};

/// Sets the fast form up, which needs the rest of `q` but for its arrays. A code is rint(t), t = part · highest; t and
/// part · beyond are the ends of an interval that holds what the definition rounds. With u = 2^-24, the largest
/// relative error of one operation:
///
/// - Layer normalisation: part = x · step / √(V · share + float_floor), where y = sum - m, m the whole number next to
///   the mean, x = y - r · share, r = sum of the row - width · m, and V = Σy² - r² · share. |r| <= 0.63 width, so that
///   V >= 0.37 Σy² and, where y is not 0, |x| >= 0.37. y is off by u, or exact where sums are shifted; a square by 2u,
///   the sum of them by u per addition, columns / 8 in each of two chains of a thread and 3 between these and between
///   threads; what V takes away by 2u of at most 1.7 V, and V by u; share, float_floor and their fused addition add 2u;
///   half of all that is left after the root, which adds 2.2u of its own. step and its product add 2u; x adds 1.7 · 3u
///   for its second part and u, the definition 2u and what its float64 loses: (columns / 16 + 19.1)u in all.
/// - Without: part = sum · factor. factor and the product add 2u, the sum in float another u, the definition 2u.
///
/// So the lower end is that many u, and some more, below the value, and the upper end 2.5 times as many above the lower
/// one. Both are at most the highest code where the lower one is cut to it.
inline float fast_form(QuantizeSums& q, int columns) {
  const double width = q.normalise ? columns / 16 + 20 : 8, off = width * 0x1p-24;
  q.highest = static_cast<float>(q.grid.highest);
  q.beyond = static_cast<float>(q.grid.highest * (1. + 2.5 * off));
  q.share = static_cast<float>(1. / q.width);
  q.float_floor = static_cast<float>(q.floor / q.width / q.width);
  q.step = static_cast<float>((1. - off) / (double{q.grid.scale} * q.grid.highest));
  if (q.normalise) {
    q.inverse_bits = std::bit_width(static_cast<unsigned>(q.width - 1)) - 2;
    q.inverse = static_cast<std::int32_t>(std::lround(std::ldexp(1., 32 + q.inverse_bits) / q.width));
  }
  return static_cast<float>(1. - off);
}

}  // namespace starling::dense::cuda
