#include "dense/kernels.h"

#include "starling/error.h"

namespace starling::dense {
namespace {

struct FloatLevel {
  SimdLevel level;
  const FloatKernels* kernels;
};
constexpr FloatLevel kFloatLevels[] = {
    {SimdLevel::reference, &kFloatReference},
#if defined(__x86_64__)
    {SimdLevel::avx2, &kFloatAvx2},
    {SimdLevel::avx512, &kFloatAvx512},
#endif
};

}  // namespace

const FloatKernels& float_kernels(SimdLevel level) {
  require_simd_level(level);
  for (const FloatLevel& entry : kFloatLevels) {
    if (entry.level == level) return *entry.kernels;
  }
  throw Error(ErrorKind::device, to_string(level) + ": no kernels of dense layers in float for this level");
}

}  // namespace starling::dense
