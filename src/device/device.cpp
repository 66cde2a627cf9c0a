#include "starling/device.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "starling/error.h"

namespace starling {

Device parse_device(std::string_view name) {
  if (name == "cpu") return Device::cpu;
  if (name == "cuda") return Device::cuda;
  throw Error(ErrorKind::usage, "device '" + std::string(name) + "': expected cpu or cuda");
}

namespace {

struct Level {
  SimdLevel level;
  const char* name;
  bool (*runs_here)();
};

bool always() { return true; }
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#else
bool has_avx2() { return false; }
bool has_avx512() { return false; }
#endif

// The fastest last.
constexpr Level kLevels[] = {
    {SimdLevel::reference, "reference", always},
    {SimdLevel::avx2, "avx2", has_avx2},
    {SimdLevel::avx512, "avx512", has_avx512},
};

std::string names(std::span<const SimdLevel> levels) {
  std::string result;
  for (const SimdLevel level : levels) result += (result.empty() ? "" : ", ") + to_string(level);
  return result;
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::device, what + ": does not run on this processor, expected " + names(simd_levels()));
}

bool runs_here(SimdLevel level) {
  const std::span<const SimdLevel> levels = simd_levels();
  return std::find(levels.begin(), levels.end(), level) != levels.end();
}

}  // namespace

std::span<const SimdLevel> simd_levels() {
  static const std::vector<SimdLevel> levels = [] {
    std::vector<SimdLevel> result;
    for (const Level& known : kLevels) {
      if (known.runs_here()) result.push_back(known.level);
    }
    return result;
  }();
  return levels;
}

std::string to_string(SimdLevel level) {
  for (const Level& known : kLevels) {
    if (known.level == level) return known.name;
  }
  throw Error(ErrorKind::usage,
              "instruction set " + std::to_string(static_cast<int>(level)) + ": expected reference, avx2 or avx512");
}

void require_simd_level(SimdLevel level) {
  if (!runs_here(level)) refuse(to_string(level));
}

SimdLevel simd_level() {
  const char* const asked = std::getenv("STARLING_SIMD");
  if (asked == nullptr || *asked == '\0') return simd_levels().back();
  for (const Level& known : kLevels) {
    if (std::string_view(known.name) != asked) continue;
    if (!runs_here(known.level)) refuse(std::string("STARLING_SIMD=") + asked);
    return known.level;
  }
  throw Error(ErrorKind::usage, std::string("STARLING_SIMD=") + asked + ": expected reference, avx2 or avx512");
}

}  // namespace starling
