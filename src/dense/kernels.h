#pragma once

#include <vector>

#include "dense/float_kernels.h"
#include "dense/integer_kernels.h"
#include "starling/device.h"

namespace starling::dense {

/// What computes products of dense layers. There is one table per number type, of the instruction levels that it is
/// written for: number types differ in what they pack and in the sets that serve them (AVX-512 VNNI, AMX and NEON are
/// no steps of one ladder), so a type adds its kernels and its table beside these.
///
/// Throws ErrorKind::device for a level that does not run here or has no kernels for floats.
const FloatKernels& float_kernels(SimdLevel level);

/// What one network runs with: kernels for codes of one byte and of two, and, slow, for sums that need 64 bits.
struct IntegerSet {
  SimdLevel level;  ///< from which on it is taken
  const IntegerKernels *of8, *of16, *wide16;
};

/// The sets that run on this processor up to a level, the fastest last. avx512 stands for AVX-512 VNNI and VBMI, and
/// for these with the tile unit's products of bytes (AMX) where the processor has it and the operating system permits
/// it; a processor with AVX-512 that lacks VNNI or VBMI runs what is written for AVX2. Throws ErrorKind::device for a
/// level that does not run here.
std::vector<IntegerSet> integer_sets(SimdLevel most);

}  // namespace starling::dense
