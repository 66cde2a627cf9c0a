#include "interaction_network/scores.h"

#include <cuda_runtime.h>

#include "cuda/launch.cuh"

namespace starling::interaction_network::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    scores_kernel(const float* logits, std::int32_t num_edges, const std::int32_t* count, float* scores) {
  const std::int64_t edge = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (edge < (count != nullptr ? min(*count, num_edges) : num_edges)) scores[edge] = sigmoid(logits[edge]);
}

}  // namespace

void edge_scores(const float* logits, std::int64_t num_edges, const std::int32_t* count, float* scores,
                 cudaStream_t stream) {
  if (num_edges == 0) return;
  scores_kernel<<<starling::cuda::blocks_of(num_edges, kThreads), kThreads, 0, stream>>>(
      logits, static_cast<std::int32_t>(num_edges), count, scores);
  starling::cuda::call(cudaGetLastError());
}

}  // namespace starling::interaction_network::cuda
