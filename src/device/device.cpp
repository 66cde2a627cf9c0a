#include "starling/device.h"

#include <cstdlib>

#include "starling/error.h"

namespace starling {

Device parse_device(std::string_view name) {
  if (name == "cpu") return Device::cpu;
  if (name == "cuda") return Device::cuda;
  throw Error(ErrorKind::usage, "device '" + std::string(name) + "': expected cpu or cuda");
}

SimdLevel best_simd_level() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return SimdLevel::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SimdLevel::avx2;
  return SimdLevel::reference;
}

std::string to_string(SimdLevel level) {
  switch (level) {
    case SimdLevel::reference:
      return "reference";
    case SimdLevel::avx2:
      return "avx2";
    case SimdLevel::avx512:
      return "avx512";
  }
  throw Error(ErrorKind::internal, "unknown instruction set");
}

SimdLevel simd_level() {
  const SimdLevel best = best_simd_level();
  const char* const asked = std::getenv("STARLING_SIMD");
  if (asked == nullptr || *asked == '\0') return best;
  for (const SimdLevel level : {SimdLevel::reference, SimdLevel::avx2, SimdLevel::avx512}) {
    if (to_string(level) != asked) continue;
    if (level <= best) return level;
    throw Error(ErrorKind::device,
                std::string("STARLING_SIMD=") + asked + ": this processor has at most " + to_string(best));
  }
  throw Error(ErrorKind::usage, std::string("STARLING_SIMD=") + asked + ": expected reference, avx2 or avx512");
}

}  // namespace starling
