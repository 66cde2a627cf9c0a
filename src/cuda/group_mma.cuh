#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/mma.cuh"

// Products of a warpgroup: four warps, the first of which has a number divisible by four, take 64 rows times a matrix
// of 16-bit numbers that lies in shared memory. A warp has 16 of the rows, as fragments A of mma.cuh, and its sums lie
// as those of mma.cuh, 8 columns per four of them. Devices of compute capability 9.0, for which code of "sm_90a" is
// needed; on others, and in other code, each warp multiplies by itself.
//
// The matrix [inputs, columns]: blocks of 8 inputs × 8 columns, 128 bytes each, in which the 8 inputs of a column stand
// side by side; a row of blocks for each 8 inputs. See block_index().
namespace starling::cuda {

/// Where an element stands in a matrix of `columns` columns, in elements.
__host__ __device__ constexpr int block_index(int input, int column, int columns) {
  return (input / 8 * (columns / 8) + column / 8) * 64 + column % 8 * 8 + input % 8;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

#define STARLING_SUMS_1(j) "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])
#define STARLING_SUMS_4(j) \
  STARLING_SUMS_1(j), STARLING_SUMS_1((j) + 1), STARLING_SUMS_1((j) + 2), STARLING_SUMS_1((j) + 3)
#define STARLING_SUMS_32 STARLING_SUMS_4(0)
#define STARLING_SUMS_48 STARLING_SUMS_4(0), STARLING_SUMS_1(4), STARLING_SUMS_1(5)
#define STARLING_SUMS_64 STARLING_SUMS_4(0), STARLING_SUMS_4(4)
#define STARLING_SUMS_96 STARLING_SUMS_4(0), STARLING_SUMS_4(4), STARLING_SUMS_4(8)
#define STARLING_SUMS_128 STARLING_SUMS_4(0), STARLING_SUMS_4(4), STARLING_SUMS_4(8), STARLING_SUMS_4(12)
#define STARLING_NAMES_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define STARLING_NAMES_48 STARLING_NAMES_32 ",%16,%17,%18,%19,%20,%21,%22,%23"
#define STARLING_NAMES_64 STARLING_NAMES_48 ",%24,%25,%26,%27,%28,%29,%30,%31"
#define STARLING_NAMES_96 STARLING_NAMES_64 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define STARLING_NAMES_128 STARLING_NAMES_96 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define STARLING_WGMMA(columns, type, inputs)                                                             \
  asm volatile(                                                                                           \
      "{.reg .pred add; setp.ne.b32 add, 1, 0;\n"                                                         \
      "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " {" STARLING_NAMES_##columns \
      "}, " inputs ", add, 1, 1, 0;}"                                                                     \
      : STARLING_SUMS_##columns                                                                           \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(matrix))

/// sums += A times 16 inputs of a matrix, of which `matrix` is the descriptor.
#define STARLING_MULTIPLY(columns, inputs)                                                                 \
  __device__ __forceinline__ void multiply_group(float(&sums)[columns / 8][4], const std::uint32_t(&a)[4], \
                                                 std::uint64_t matrix, __half) {                           \
    STARLING_WGMMA(columns, "f16", inputs);                                                                \
  }                                                                                                        \
  __device__ __forceinline__ void multiply_group(float(&sums)[columns / 8][4], const std::uint32_t(&a)[4], \
                                                 std::uint64_t matrix, __nv_bfloat16) {                    \
    STARLING_WGMMA(columns, "bf16", inputs);                                                               \
  }
STARLING_MULTIPLY(32, "{%16,%17,%18,%19}, %20")
STARLING_MULTIPLY(48, "{%24,%25,%26,%27}, %28")
STARLING_MULTIPLY(64, "{%32,%33,%34,%35}, %36")
STARLING_MULTIPLY(96, "{%48,%49,%50,%51}, %52")
STARLING_MULTIPLY(128, "{%64,%65,%66,%67}, %68")
#undef STARLING_MULTIPLY
#undef STARLING_WGMMA

#endif

/// sums += inputs · matrix, all rows of the warpgroup; called by all its threads. What stands in shared memory must
/// have been made visible to the tensor cores (see publish()).
template <typename T, int kSixteens>
__device__ __forceinline__ void multiply_group(float (&sums)[2 * kSixteens][4], std::uint32_t (&inputs)[kSixteens][4],
                                               const uint4* matrix) {
  constexpr int kColumns = 16 * kSixteens;
  __syncwarp();  // nothing that follows moves into branches of single lanes
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // Bytes / 16 between blocks of neighbouring inputs, and between blocks of neighbouring columns.
  const auto address = static_cast<std::uint64_t>(__cvta_generic_to_shared(matrix) >> 4);
  std::uint64_t descriptor = address | std::uint64_t{kColumns} << 16 | std::uint64_t{8} << 32;
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
  for (int k = 0; k < kSixteens; ++k) {
    multiply_group(sums, inputs[k], descriptor, T());
    descriptor += 2 * kColumns;
  }
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  // Registers of inputs and sums are the tensor cores' until here.
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
  for (int j = 0; j < 2 * kSixteens; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(sums[j][i])::"memory");
  }
#pragma unroll
  for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(inputs[k][i])::"memory");
  }
#else
  const auto* const words = reinterpret_cast<const std::uint32_t*>(matrix) + threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      const std::uint32_t* const block = words + (2 * k * (kColumns / 8) + n) * 32;
      multiply_add(sums[n], inputs[k], block[0], block[kColumns / 8 * 32], T());
    }
  }
#endif
}

/// Before the barrier after which a warpgroup multiplies with what this thread wrote to shared memory.
__device__ __forceinline__ void publish() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

}  // namespace starling::cuda
