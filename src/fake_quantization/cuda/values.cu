#include <algorithm>

#include "cuda/block.cuh"
#include "cuda/launch.cuh"
#include "fake_quantization/backends.h"
#include "fake_quantization/cuda/rounding.cuh"
#include "memory/layout.h"

// Arrays side by side, rounded at one scale. A thread takes kVector neighbours of a row; blockIdx.y is the part.
namespace starling::fakequantization::cuda {
namespace {

using starling::cuda::block_sum;
using starling::cuda::blocks_of;
using starling::cuda::call;

constexpr int kThreads = 256;

template <int kVector>
struct alignas(4 * kVector) Vector {
  float x[kVector];
};

struct Part {
  const float* values;
  float* gradient;              ///< null: not wanted
  std::int64_t begin;           ///< its first column among those of all parts
  std::int64_t vectors, count;  ///< of a row, of all rows
};

struct Kernel {
  Codes codes;
  const float* magnitude;
  std::int64_t width;  ///< of all parts
  Part parts[kMaxQuantizedParts];
};

/// action(vector of the part, where it lies among the values of all parts, in numbers)
template <int kVector, typename Action>
__device__ void for_vectors(const Kernel& kernel, const Part& part, const Action& action) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < part.count; i += step) {
    std::int64_t at = i * kVector;
    if (part.count != part.vectors) {  // then numbers of vectors fit into 32 bits
      const auto row = static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(part.vectors);
      at = row * kernel.width + part.begin + (i - row * part.vectors) * kVector;
    } else {
      at += part.begin;
    }
    action(i, at);
  }
}

template <int kVector>
__global__ void __launch_bounds__(kThreads)
    values_kernel(const __grid_constant__ Kernel kernel, float* values, float* scale) {
  using V = Vector<kVector>;
  const float step = scale_of(*kernel.magnitude, kernel.codes);
  const Part& part = kernel.parts[blockIdx.y];
  for_vectors<kVector>(kernel, part, [&](std::int64_t i, std::int64_t at) {
    V vector = reinterpret_cast<const V*>(part.values)[i];
#pragma unroll
    for (float& x : vector.x) x = Rounded(x, step, kernel.codes).value(step);
    *reinterpret_cast<V*>(values + at) = vector;
  });
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *scale = step;
}

template <int kVector>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const __grid_constant__ Kernel kernel, const float* values_gradient, double* sums) {
  using V = Vector<kVector>;
  const float step = scale_of(*kernel.magnitude, kernel.codes);
  const Part& part = kernel.parts[blockIdx.y];
  double sum = 0.;
  for_vectors<kVector>(kernel, part, [&](std::int64_t i, std::int64_t at) {
    const V vector = reinterpret_cast<const V*>(part.values)[i];
    const V gradient = *reinterpret_cast<const V*>(values_gradient + at);
    V result;
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      const Rounded rounded(vector.x[v], step, kernel.codes);
      result.x[v] = rounded.gradient(gradient.x[v], step);
      sum += rounded.of_scale(gradient.x[v], step);
    }
    if (part.gradient != nullptr) reinterpret_cast<V*>(part.gradient)[i] = result;
  });
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    finish_kernel(const Codes codes, const float* magnitude, const double* sums, int count, const float* scale_gradient,
                  float* magnitude_gradient) {
  double sum = 0.;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += sums[i];
  sum = block_sum(sum);
  if (threadIdx.x > 0) return;
  const float of_scale = static_cast<float>(sum) + (scale_gradient == nullptr ? 0.f : *scale_gradient);
  *magnitude_gradient = gradient_of_magnitude(of_scale, *magnitude, codes);
}

/// The arguments of a kernel, and the widest vector that all arrays can be read in.
struct Plan {
  Kernel kernel;
  int vector = 4;
  std::int64_t blocks = 1;  ///< per part

  explicit Plan(const FakeQuantization& quantization)
      : kernel{codes_of(quantization.rounding), quantization.magnitude, 0, {}}, num_parts(quantization.num_parts) {
    for (int i = 0; i < num_parts; ++i) {
      const auto& [values, width] = quantization.parts[i];
      kernel.parts[i] = {values, nullptr, kernel.width, width, width * quantization.num_rows};
      if (quantization.num_rows > 1 || num_parts > 1) fits(width);
      kernel.width += width;
    }
    if (quantization.num_rows <= 1 && num_parts == 1) fits(kernel.width);
  }
  /// Rows of so many numbers, or an array that begins there.
  void fits(std::int64_t width) {
    if (width % 4 != 0) vector = 1;
  }
  void fits(const float* array) {
    if (reinterpret_cast<std::uintptr_t>(array) % 16 != 0) vector = 1;
  }

  /// Once all arrays are known.
  void divide() {
    std::int64_t most = 0;
    for (int i = 0; i < num_parts; ++i) {
      Part& part = kernel.parts[i];
      part.vectors /= vector;
      part.count /= vector;
      most = std::max(most, part.count);
    }
    blocks = parts_of(most, kThreads);
  }
  dim3 grid() const { return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(num_parts)); }

  int num_parts;
};

}  // namespace

void fake_quantize(const FakeQuantization& quantization, float* values, float* scale, const Execution& execution) {
  Plan plan(quantization);
  for (int i = 0; i < plan.num_parts; ++i) plan.fits(plan.kernel.parts[i].values);
  plan.fits(values);
  plan.divide();
  const auto kernel = plan.vector == 4 ? values_kernel<4> : values_kernel<1>;
  kernel<<<plan.grid(), kThreads, 0, execution.stream>>>(plan.kernel, values, scale);
  call(cudaGetLastError());
}

std::size_t workspace_bytes(const FakeQuantization& quantization) {
  memory::Layout layout;
  layout.take<double>(static_cast<std::size_t>(kMostBlocks * quantization.num_parts));
  return layout.bytes();
}

void fake_quantize_gradient(const FakeQuantization& quantization, const float* values_gradient,
                            const float* scale_gradient, float* const (&parts_gradient)[kMaxQuantizedParts],
                            float* magnitude_gradient, std::span<std::byte> workspace, const Execution& execution) {
  memory::Layout layout(workspace);
  double* const sums = layout.take<double>(static_cast<std::size_t>(kMostBlocks * quantization.num_parts));
  Plan plan(quantization);
  for (int i = 0; i < plan.num_parts; ++i) {
    plan.kernel.parts[i].gradient = parts_gradient[i];
    plan.fits(plan.kernel.parts[i].values);
    plan.fits(parts_gradient[i]);
  }
  plan.fits(values_gradient);
  plan.divide();
  const auto kernel = plan.vector == 4 ? gradient_kernel<4> : gradient_kernel<1>;
  kernel<<<plan.grid(), kThreads, 0, execution.stream>>>(plan.kernel, values_gradient, sums);
  call(cudaGetLastError());
  if (magnitude_gradient == nullptr) return;
  finish_kernel<<<1, kThreads, 0, execution.stream>>>(plan.kernel.codes, quantization.magnitude, sums,
                                                      static_cast<int>(plan.blocks) * plan.num_parts, scale_gradient,
                                                      magnitude_gradient);
  call(cudaGetLastError());
}

}  // namespace starling::fakequantization::cuda
