#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

struct CUstream_st;

namespace starling {

enum class Device { cpu, cuda };

/// Where an operation of the core runs: an argument, so that host and device share one function.
///
/// An operation that needs memory of its own has a size query, which takes the same sizes and the same Execution and
/// returns bytes, and then works in a workspace of so many bytes that the caller lends: anywhere, not initialised, on
/// the device that the operation runs on.
///
/// On the host an operation runs in the caller's TBB arena; `stream` and `bad_row` are ignored. On a CUDA device all
/// arrays are device memory, and an operation allocates nothing and waits for nothing: it may be captured in a CUDA
/// graph. Without CUDA in the build it throws ErrorKind::device.
struct Execution {
  Device device = Device::cpu;
  CUstream_st* stream = nullptr;  ///< of the current CUDA device; nullptr = the default stream
  /// One element in device memory. What the host would throw as ErrorKind::input for a row of the data, only the device
  /// can see there: it writes the row to *bad_row, or −1 where there is none. Each operation says whether it needs it.
  std::int32_t* bad_row = nullptr;
};

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

/// Throws ErrorKind::device, naming the level, where it is not one of simd_levels(), and ErrorKind::usage where it is
/// no level at all.
void require_simd_level(SimdLevel level);

/// Throws ErrorKind::usage for what is no level.
std::string to_string(SimdLevel level);

}  // namespace starling
