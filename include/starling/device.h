#pragma once

#include <string>
#include <string_view>

namespace starling {

/// Where an operation runs.
enum class Device { cpu, cuda };

/// "cpu" or "cuda"; anything else is a usage error.
Device parse_device(std::string_view name);

/// Throws ErrorKind::device, in one line that says why, where no CUDA device can be used.
void require_cuda();

/// Instruction sets that a kernel may be written for, in ascending order.
enum class SimdLevel { reference, avx2, avx512 };

/// The level to run at: the best that this processor has, or what the environment variable STARLING_SIMD
/// (reference|avx2|avx512) asks for. Throws ErrorKind::usage for an unknown name and ErrorKind::device for a level
/// that the processor lacks. Read anew on each call.
SimdLevel simd_level();

/// The best level that this processor has.
SimdLevel best_simd_level();

std::string to_string(SimdLevel level);

}  // namespace starling
