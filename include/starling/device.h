#pragma once

#include <span>
#include <string>
#include <string_view>

namespace starling {

/// Where an operation runs.
enum class Device { cpu, cuda };

/// "cpu" or "cuda"; anything else is a usage error.
Device parse_device(std::string_view name);

/// Throws ErrorKind::device, in one line that says why, where no CUDA device can be used.
void require_cuda();

/// Instruction sets that a kernel may be written for. `reference` is plain C++ and runs on every processor.
enum class SimdLevel { reference, avx2, avx512 };

/// The levels that run here: this build holds code for them and this processor has the instructions. The fastest is
/// last; `reference` is always among them, and alone on processors other than x86-64.
std::span<const SimdLevel> simd_levels();

/// The level to run at: the fastest of simd_levels(), or what the environment variable STARLING_SIMD
/// (reference|avx2|avx512) asks for. Throws ErrorKind::usage for an unknown name and ErrorKind::device for a level
/// that does not run here. Read anew on each call.
SimdLevel simd_level();

/// Throws ErrorKind::device, naming the level, where it is not one of simd_levels().
void require_simd_level(SimdLevel level);

std::string to_string(SimdLevel level);

}  // namespace starling
