#pragma once

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

/// Those of integers. `code_bytes` is how many a code needs at least, 1 or 2, `wide`: sums need 64 bits. avx512 stands
/// for AVX-512 VNNI and VBMI, for codes of a byte with the tile unit's products (AMX) where the processor has it and
/// the operating system permits it; a processor with AVX-512 that lacks VNNI or VBMI runs what is written for AVX2.
const IntegerKernels& integer_kernels(SimdLevel level, int code_bytes, bool wide);

}  // namespace starling::dense
