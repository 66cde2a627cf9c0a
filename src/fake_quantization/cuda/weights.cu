#include <algorithm>

#include "cuda/block.cuh"
#include "cuda/launch.cuh"
#include "fake_quantization/backends.h"
#include "fake_quantization/cuda/rounding.cuh"

// All weights of a network at once: a block takes a weight, or one output of it.
namespace starling::fakequantization::cuda {
namespace {

using starling::cuda::block_sum;
using starling::cuda::call;

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxWeights = 160;  ///< of one launch: arguments of a kernel are 4 KiB at most

struct Kernel {
  int num_weights;
  bool per_channel, power_of_two;
  std::int64_t first_scale;
  struct Weight {
    std::int64_t begin;
    std::int32_t outputs, inputs;
    std::int32_t most;  ///< codes are ± most at most
  } weights[kMaxWeights];
};
static_assert(sizeof(Kernel) <= 3900);

/// Values that share a scale.
struct Group {
  std::int64_t begin, count, scale;
  Codes codes;

  /// blockIdx: output, weight.
  __device__ explicit Group(const Kernel& kernel) {
    const auto& weight = kernel.weights[blockIdx.y];
    const auto most = static_cast<float>(weight.most);
    codes = {
        most, -most, most, static_cast<float>(kLeastMagnitude), false, /*passes_outside=*/true, kernel.power_of_two};
    begin = weight.begin;
    count = std::int64_t{weight.outputs} * weight.inputs;
    scale = kernel.first_scale + blockIdx.y;
    if (!kernel.per_channel) return;
    begin += std::int64_t{blockIdx.x} * weight.inputs;
    count = blockIdx.x < weight.outputs ? weight.inputs : 0;
    scale = kernel.first_scale + blockIdx.x;
    for (unsigned w = 0; w < blockIdx.y; ++w) scale += kernel.weights[w].outputs;
  }
};

/// The larger one; not a number where either is none.
__device__ inline float larger(float a, float b) { return a != a || a > b ? a : b; }

/// The largest size of the values, in all threads.
__device__ float largest(const float* values, std::int64_t count, float (&parts)[kWarps]) {
  float most = 0.f;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) most = larger(fabsf(values[i]), most);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) most = larger(__shfl_xor_sync(starling::cuda::kWarp, most, step), most);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = most;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) most = larger(parts[w], most);
  return most;
}

__global__ void __launch_bounds__(kThreads)
    values_kernel(const __grid_constant__ Kernel kernel, const float* parameters, float* values, float* scales) {
  __shared__ float sizes[kWarps];
  const Group group(kernel);
  if (group.count == 0) return;
  const float scale = scale_of(largest(parameters + group.begin, group.count, sizes), group.codes);
  for (std::int64_t i = threadIdx.x; i < group.count; i += kThreads)
    values[group.begin + i] = Rounded(parameters[group.begin + i], scale, group.codes).value(scale);
  if (threadIdx.x == 0) scales[group.scale] = scale;
}

/// That of the maximum goes in equal parts to all that share it.
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const __grid_constant__ Kernel kernel, const float* parameters, const float* values_gradient,
                    const float* scales_gradient, float* gradient) {
  __shared__ float sizes[kWarps];
  const Group group(kernel);
  if (group.count == 0) return;
  const float* const weight = parameters + group.begin;
  const float* const of_values = values_gradient + group.begin;
  const float size = largest(weight, group.count, sizes), scale = scale_of(size, group.codes);
  double sum = 0., sharing = 0.;
  for (std::int64_t i = threadIdx.x; i < group.count; i += kThreads) {
    sum += Rounded(weight[i], scale, group.codes).of_scale(of_values[i], scale);
    sharing += fabsf(weight[i]) == size ? 1. : 0.;
  }
  sum = block_sum(sum);
  sharing = block_sum(sharing);
  const float of_scale = static_cast<float>(sum) + (scales_gradient == nullptr ? 0.f : scales_gradient[group.scale]);
  const float share = gradient_of_magnitude(of_scale, size, group.codes) / static_cast<float>(sharing);
  for (std::int64_t i = threadIdx.x; i < group.count; i += kThreads) {
    float result = Rounded(weight[i], scale, group.codes).gradient(of_values[i], scale);
    if (fabsf(weight[i]) == size) result += weight[i] < 0.f ? -share : share;
    gradient[group.begin + i] = result;
  }
}

/// launch(grid, kernel arguments) for as many weights at a time as fit.
template <typename Launch>
void for_launches(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two, const Launch& launch) {
  std::int64_t scale = 0;
  for (std::size_t first = 0; first < weights.size(); first += kMaxWeights) {
    Kernel kernel{};
    kernel.num_weights = static_cast<int>(std::min<std::size_t>(weights.size() - first, kMaxWeights));
    kernel.per_channel = per_channel;
    kernel.power_of_two = power_of_two;
    kernel.first_scale = scale;
    std::int32_t outputs = 1;
    for (int i = 0; i < kernel.num_weights; ++i) {
      const QuantizedWeight& weight = weights[first + static_cast<std::size_t>(i)];
      kernel.weights[i] = {weight.begin, weight.outputs, weight.inputs,
                           static_cast<std::int32_t>(weight_rounding(weight.bits, power_of_two).high)};
      if (per_channel) outputs = std::max(outputs, weight.outputs);
      scale += per_channel ? weight.outputs : 1;
    }
    launch(dim3(static_cast<unsigned>(outputs), static_cast<unsigned>(kernel.num_weights)), kernel);
    call(cudaGetLastError());
  }
}

}  // namespace

void quantize_weights(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                      const float* parameters, float* values, float* scales, const Execution& execution) {
  for_launches(weights, per_channel, power_of_two, [&](dim3 grid, const Kernel& kernel) {
    values_kernel<<<grid, kThreads, 0, execution.stream>>>(kernel, parameters, values, scales);
  });
}

void quantize_weights_gradient(std::span<const QuantizedWeight> weights, bool per_channel, bool power_of_two,
                               const float* parameters, const float* values_gradient, const float* scales_gradient,
                               float* gradient, const Execution& execution) {
  for_launches(weights, per_channel, power_of_two, [&](dim3 grid, const Kernel& kernel) {
    gradient_kernel<<<grid, kThreads, 0, execution.stream>>>(kernel, parameters, values_gradient, scales_gradient,
                                                             gradient);
  });
}

}  // namespace starling::fakequantization::cuda
