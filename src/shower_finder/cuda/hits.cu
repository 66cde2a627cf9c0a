#include <cuda_runtime.h>

#include "cuda/launch.cuh"
#include "shower_finder/backends.h"
#include "shower_finder/formulas.h"

namespace starling::shower_finder::cuda {

using starling::cuda::blocks_of, starling::cuda::call;

namespace {

constexpr int kThreads = 128;

__global__ void features_kernel(const __grid_constant__ HitColumns hits, const __grid_constant__ ShowerFeatures units,
                                std::int32_t count, float* out) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) features_of(hits, units, i, out + i * kShowerFeatures);
}

__global__ void points_kernel(const __grid_constant__ HitColumns hits, const __grid_constant__ OutputColumns columns,
                              std::int32_t count, const float* outputs, const __grid_constant__ ShowerPoints out) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) points_of(hits, columns, outputs, out, i);
}

}  // namespace

void features(const CalorimeterHitsView& hits, const ShowerFeatures& units, float* out, const Execution& execution) {
  if (hits.size() == 0) return;
  features_kernel<<<blocks_of(hits.size(), kThreads), kThreads, 0, execution.stream>>>(HitColumns(hits), units,
                                                                                       hits.size(), out);
  call(cudaGetLastError());
}

void points(const CalorimeterHitsView& hits, const ShowerOutputs& layout, const float* outputs, const ShowerPoints& out,
            const Execution& execution) {
  if (hits.size() == 0) return;
  points_kernel<<<blocks_of(hits.size(), kThreads), kThreads, 0, execution.stream>>>(
      HitColumns(hits), OutputColumns(layout), hits.size(), outputs, out);
  call(cudaGetLastError());
}

}  // namespace starling::shower_finder::cuda
