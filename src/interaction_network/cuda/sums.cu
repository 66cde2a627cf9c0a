#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/launch.cuh"
#include "interaction_network/cuda/passes.h"

// A thread has 16 bytes of a row. A kernel of its own, since loads of many rows are to be on their way at once, which
// takes more threads than products leave registers for.
namespace starling::interaction_network::cuda {

namespace {

constexpr int kThreads = 256, kAhead = 8;

/// 16 bytes of a row as floats.
template <typename T>
struct Piece {
  static constexpr int kNumbers = 16 / sizeof(T);
  float sum[kNumbers] = {};

  __device__ void add(const uint4& message) {
    const T* const numbers = reinterpret_cast<const T*>(&message);
#pragma unroll
    for (int i = 0; i < kNumbers; ++i) sum[i] += static_cast<float>(numbers[i]);
  }
  __device__ uint4 rounded() const {
    uint4 result;
    T* const numbers = reinterpret_cast<T*>(&result);
#pragma unroll
    for (int i = 0; i < kNumbers; ++i) numbers[i] = round(sum[i], T());
    return result;
  }

 private:
  static __device__ float round(float value, float) { return value; }
  // NaN stays.
  static __device__ __half round(float value, __half) { return __float2half_rn(value > 65504.f ? 65504.f : value); }
  static __device__ __nv_bfloat16 round(float value, __nv_bfloat16) {
    constexpr float kLargest = 0x1.fep127f;
    return __float2bfloat16_rn(value > kLargest ? kLargest : value);
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const uint4* e, int pieces, const std::uint32_t* in_splits, const std::uint32_t* in_edges,
                const std::uint32_t* out_splits, const Counts* counts, uint4* in, uint4* out) {
  starling::cuda::after_previous();
  // One half of the blocks for each direction.
  const unsigned half = gridDim.x / 2;
  const bool into = blockIdx.x < half;
  const std::int64_t item = std::int64_t{into ? blockIdx.x : blockIdx.x - half} * kThreads + threadIdx.x;
  const std::int64_t row = item / pieces, piece = item % pieces;
  if (row >= counts->rows) return;
  const std::uint32_t* const splits = into ? in_splits : out_splits;
  const std::uint32_t begin = splits[row], end = splits[row + 1];
  Piece<T> total;
  for (std::uint32_t first = begin; first < end; first += kAhead) {
    uint4 messages[kAhead];
    std::uint32_t edge[kAhead];
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i) {
      edge[i] = first + i;
      if (into && edge[i] < end) edge[i] = in_edges[edge[i]];
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i)
      messages[i] = first + i < end ? e[std::int64_t{edge[i]} * pieces + piece] : make_uint4(0, 0, 0, 0);
    // All of them are asked for before the first is added. What is not there adds +0 to a sum that is never −0.
    asm volatile("" ::: "memory");
#pragma unroll
    for (int i = 0; i < kAhead; ++i) total.add(messages[i]);
  }
  (into ? in : out)[item] = total.rounded();
}

}  // namespace

template <typename T>
void sum_messages(const T* e, int columns, const DeviceOrder& order, std::int32_t num_nodes, T* in, T* out,
                  cudaStream_t stream) {
  const int pieces = columns * static_cast<int>(sizeof(T)) / 16;
  const int blocks = 2 * starling::cuda::blocks_of(std::int64_t{num_nodes} * pieces, kThreads);
  starling::cuda::launch_after(sums_kernel<T>, blocks, kThreads, 0, stream, reinterpret_cast<const uint4*>(e), pieces,
                               order.in_splits, order.in_edges, order.out_splits, order.counts,
                               reinterpret_cast<uint4*>(in), reinterpret_cast<uint4*>(out));
}

template void sum_messages(const float*, int, const DeviceOrder&, std::int32_t, float*, float*, cudaStream_t);
template void sum_messages(const __half*, int, const DeviceOrder&, std::int32_t, __half*, __half*, cudaStream_t);
template void sum_messages(const __nv_bfloat16*, int, const DeviceOrder&, std::int32_t, __nv_bfloat16*, __nv_bfloat16*,
                           cudaStream_t);

}  // namespace starling::interaction_network::cuda
