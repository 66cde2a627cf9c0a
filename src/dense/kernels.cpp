#include "dense/kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

// Whether a processor that has the level has all that the kernels use.
bool always() { return true; }
#if defined(__x86_64__)
bool has_vnni() { return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi"); }
bool may_use_tiles() {
#if defined(__linux__)
  // Compilers name amx-tile and amx-int8 from different versions on.
  constexpr unsigned kTilesAndInt8 = 1u << 24 | 1u << 25;
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool has_tiles = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kTilesAndInt8) == kTilesAndInt8;
  if (!has_vnni() || !has_tiles) return false;
  // The operating system saves the tiles of a process from when it asks for them, for all its threads.
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  static const bool permitted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return permitted;
#else
  return false;
#endif
}
#endif

struct IntegerLevel {
  IntegerSet set;
  bool (*runs_here)();
};
// The fastest last.
constexpr IntegerLevel kIntegerLevels[] = {
    {{SimdLevel::reference, &kIntegerReference8, &kIntegerReference16, &kIntegerWide16}, always},
#if defined(__x86_64__)
    {{SimdLevel::avx2, &kIntegerAvx2Of8, &kIntegerAvx2Of16, &kIntegerWide16}, always},
    {{SimdLevel::avx512, &kIntegerAvx512VnniOf8, &kIntegerAvx512VnniOf16, &kIntegerWide16}, has_vnni},
    {{SimdLevel::avx512, &kIntegerAvx512AmxOf8, &kIntegerAvx512VnniOf16, &kIntegerWide16}, may_use_tiles},
#endif
};

}  // namespace

std::vector<IntegerSet> integer_sets(SimdLevel most) {
  require_simd_level(most);
  std::vector<IntegerSet> sets;
  for (const IntegerLevel& entry : kIntegerLevels) {
    if (entry.set.level <= most && entry.runs_here()) sets.push_back(entry.set);
  }
  return sets;
}

const FloatKernels& float_kernels(SimdLevel level) {
  require_simd_level(level);
  for (const FloatLevel& entry : kFloatLevels) {
    if (entry.level == level) return *entry.kernels;
  }
  throw Error(ErrorKind::device, to_string(level) + ": no kernels of dense layers in float for this level");
}

}  // namespace starling::dense
