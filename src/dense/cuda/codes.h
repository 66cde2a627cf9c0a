#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "arithmetic/host_device.h"
#include "dense/integer_arithmetic.h"

// Codes in few instructions. The host tries these forms where it packs a network, with the same results as a device.
namespace starling::dense::cuda {

inline constexpr float kWholes = 12582912.f;  ///< 1.5 · 2^23: a float from there on has its whole number in low bits

/// a · b rounded once, from 0 to 1; NaN gives 0.
STARLING_HOST_DEVICE float part_of(float a, float b) {
#ifdef __CUDA_ARCH__
  float result;
  asm("mul.rn.sat.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
#else
  const float product = a * b;
  return product > 0.f ? (product < 1.f ? product : 1.f) : 0.f;
#endif
}

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

STARLING_HOST_DEVICE std::uint32_t requantized_by(float code, float factor, float highest) {
  return whole_bits(part_of(code, factor), highest) & 0x3fffff;
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

/// What follows the sums of a layer of at most 8 bits, up to its codes: IntegerQuantize for a device. Arrays are in its
/// memory.
struct QuantizeSums {
  const double* ratio = nullptr;  ///< [columns] of rescaled(), or null
  const float* scale = nullptr;   ///< [columns] of value_of(), without normalisation
  CodeGrid grid;
  std::int32_t width = 0;  ///< outputs; columns behind them are padding
  bool normalise = false;
  double floor = 0.;  ///< of integer_deviation()
  /// Whether the fast form holds; without it all codes are computed by the definition.
  bool bounded = false;
  bool wide = false;  ///< width · sum - sum of the row is beyond 32 bits
  // Of the fast form: fast_form() sets them.
  const float* factor = nullptr;  ///< [columns] without normalisation
  float step = 0.f, share = 0.f, float_floor = 0.f;
  float highest = 0.f, beyond = 0.f;
};

/// Sets the fast form up, which needs the rest of `q` but for its arrays. A code is rint(t), t = part · highest; t and
/// part · beyond are the ends of an interval that holds what the definition rounds. With u = 2^-24, the largest
/// relative error of one operation:
///
/// - Layer normalisation: part = d · (step / √(Σd² · share + float_floor)), d = width · sum - sum of the row, whose
///   squares add up to width times the spread. A square is off by 2u, as d in float is by u, the sum of them by u per
///   addition, columns / 4 in a thread and 2 between threads; share, float_floor and their fused addition add 2u; half
///   of all that is left after the root, which adds 2.2u of its own. step, its product, d and the last product add 4u,
///   the definition 2u and what its float64 loses: (columns / 8 + 11.2)u in all.
/// - Without: part = sum · factor. factor and the product add 2u, the definition another 2u.
///
/// So the lower end is that many u, and some more, below the value, and the upper end 2.5 times as many above the lower
/// one. Both are at most the highest code where the lower one is cut to it.
inline float fast_form(QuantizeSums& q, int columns) {
  const double width = q.normalise ? columns / 8 + 16 : 8, off = width * 0x1p-24;
  q.highest = static_cast<float>(q.grid.highest);
  q.beyond = static_cast<float>(q.grid.highest * (1. + 2.5 * off));
  q.share = static_cast<float>(1. / q.width);
  q.float_floor = static_cast<float>(q.floor);
  q.step = static_cast<float>((1. - off) / (double{q.grid.scale} * q.grid.highest));
  return static_cast<float>(1. - off);
}

}  // namespace starling::dense::cuda
