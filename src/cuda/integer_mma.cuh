#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Tensor cores on numbers of 8 bits, sums in 32 bits: single instructions, for devices of compute capability 8.0 and
// later. All lanes of a warp call a function of tensor cores together.
//
// Fragments, with g = lane / 4 and q = lane % 4. A register holds four numbers, the one of the lowest column (A) or
// input (B) in the lowest byte.
//
//   product of 16 × 8 × 16    A [16 rows, 16 inputs]: a[0] = (g, 4q..4q+3), a[1] = (g + 8, 4q..)
//                             B [16 inputs, 8 columns]: b = (4q..4q+3, g)
//   product of 16 × 8 × 32    A [16, 32]: two of those side by side, a[2] and a[3] being the second; B likewise
//   sums of both [16, 8]      d[0..1] = (g, 2q..2q+1), d[2..3] = (g + 8, 2q..2q+1)
//
// The order of the inputs is free, as long as A and B agree. So the sums of two neighbouring tiles of 8 columns, as
// bytes, are the fragment A of a product over these 16 columns in the order of code_index() (dense/cuda/codes.h):
// a = {pack(d0[0], d0[1], d1[0], d1[1]), pack(d0[2], d0[3], d1[2], d1[3])}.
namespace starling::cuda {

/// sums += A B, A from 0 to 255 and B from -128 to 127.
__device__ __forceinline__ void multiply_add(std::int32_t (&sums)[4], const std::uint32_t (&a)[2],
                                             const std::uint32_t (&more)[2], std::uint32_t b0, std::uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(more[0]), "r"(more[1]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_add(std::int32_t (&sums)[4], const std::uint32_t (&a)[2], std::uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

/// sum + the products of four numbers from 0 to 255 with four from -128 to 127.
__device__ __forceinline__ std::int32_t multiply_four(std::uint32_t codes, std::uint32_t weights, std::int32_t sum) {
  std::int32_t result;
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(codes), "r"(weights), "r"(sum));
  return result;
}

}  // namespace starling::cuda
