#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

// Tensor cores, and copies that run beside the threads: small functions over single instructions, for devices of
// compute capability 8.0 and later. All lanes of a warp call a function of tensor cores together.
//
// Fragments, with g = lane / 4 and q = lane % 4. A register holds two numbers of 16 bits, the one of the lower column
// (A) or input (B) in the lower half, or one tf32 number.
//
//   product of 16 × 8 × 16    A [16 rows, 16 inputs]: a[0] = (g, 2q..2q+1), a[1] = (g + 8, 2q..), a[2] = (g, 2q+8..),
//                             a[3] = (g + 8, 2q+8..)
//                             B [16 inputs, 8 columns]: b[0] = (2q..2q+1, g), b[1] = (2q+8.., g)
//   product of 16 × 8 × 8     A [16, 8] of tf32: a[0] = (g, q), a[1] = (g + 8, q), a[2] = (g, q + 4),
//                             a[3] = (g + 8, q + 4);  B [8, 8]: b[0] = (q, g), b[1] = (q + 4, g)
//   sums of both [16, 8]      d[0..1] = (g, 2q..2q+1), d[2..3] = (g + 8, 2q..2q+1)
//
// So the sums of two neighbouring tiles of 8 columns, rounded to 16 bits, are the fragment A of a product over these 16
// columns: a = {pack(d0[0], d0[1]), pack(d0[2], d0[3]), pack(d1[0], d1[1]), pack(d1[2], d1[3])}.
namespace starling::cuda {

/// sums += A B.
__device__ __forceinline__ void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1, __half) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                             std::uint32_t b1, __nv_bfloat16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four blocks of 8 × 8 numbers of 16 bits in shared memory, turned round: lane 8 b + r brings where row r of block b
/// is, 8 numbers, at a multiple of 16 bytes, and register b gets of it (2q..2q+1, g).
__device__ __forceinline__ void load_transposed(std::uint32_t (&blocks)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(blocks[0]), "=r"(blocks[1]), "=r"(blocks[2]), "=r"(blocks[3])
               : "r"(address)
               : "memory");
}

/// The same with tf32 numbers: floats whose lower 13 bits do not count (see to_tf32).
__device__ __forceinline__ void multiply_add_tf32(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                  std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Rounded to the nearest tf32, ties away from zero.
__device__ __forceinline__ std::uint32_t to_tf32(float value) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}

/// Starts to copy 16 bytes from device memory to shared memory, both at a multiple of 16 bytes.
__device__ __forceinline__ void copy_16(void* to, const void* from) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}
/// The same where `there`; else 16 bytes become 0, and `from` is not read.
__device__ __forceinline__ void copy_16(void* to, const void* from, bool there) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(there ? 16 : 0)
               : "memory");
}
/// The copies that this thread started since the last call become a group.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until at most `left` groups of this thread are on their way. Other threads see them after a barrier.
template <int left>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

}  // namespace starling::cuda
