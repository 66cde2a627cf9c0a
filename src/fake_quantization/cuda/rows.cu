#include "cuda/block.cuh"
#include "cuda/launch.cuh"
#include "fake_quantization/backends.h"
#include "fake_quantization/cuda/rounding.cuh"
#include "memory/layout.h"
#include "starling/dense.h"

// What follows the products of a dense layer. A warp takes a row at a time, a lane each 32nd column of it. The gradient
// computes anew what lies between sums and codes. Each block adds up the gradients of what all rows share, columns of
// the bias first, then the threshold; finish_kernel adds up the blocks.
namespace starling::fakequantization::cuda {
namespace {

using starling::cuda::block_sum;
using starling::cuda::call;
using starling::cuda::warp_sum;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kRowsPerBlock = 2 * kWarps;  ///< at least, where there are few

struct Kernel {
  QuantizedRows rows;
  Codes codes, bias_codes;
};

/// The columns of a lane, and what its rows share.
template <int kColumns>
class Lane {
 public:
  __device__ explicit Lane(const Kernel& kernel) : kernel_(kernel), rows_(kernel.rows) {
    step = scale_of(*rows_.threshold, kernel.codes);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      bias_[c] = 0.f;
      if (rows_.bias == nullptr || !is_there(c)) continue;
      const float scale = rows_.weight_scale[rows_.per_channel ? column(c) : 0] * *rows_.input_scale;
      bias_[c] = Rounded(rows_.bias[column(c)], scale, kernel.bias_codes).value(scale);
    }
  }

  __device__ int column(int c) const { return static_cast<int>(threadIdx.x % 32) + 32 * c; }
  __device__ bool is_there(int c) const { return column(c) < rows_.width; }

  /// y of a row, what the ReLU reads, and what normalisation multiplied it by.
  __device__ float normalised(std::int64_t row, float (&y)[kColumns]) const {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) y[c] = is_there(c) ? rows_.sums[row * rows_.width + column(c)] + bias_[c] : 0.f;
    if (rows_.nodes != nullptr) {
      const float* const first = rows_.nodes + std::int64_t{2} * rows_.width * rows_.first[row];
      const float* const second = rows_.nodes + std::int64_t{2} * rows_.width * rows_.second[row] + rows_.width;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (is_there(c)) y[c] += first[column(c)] + second[column(c)];
      }
    }
    if (!rows_.norm) return 1.f;
    const auto width = static_cast<float>(rows_.width);
    const float mean = row_sum(y) / width;
    float squares[kColumns];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      y[c] = is_there(c) ? y[c] - mean : 0.f;
      squares[c] = y[c] * y[c];
    }
    const float scale = 1.f / sqrtf(row_sum(squares) / width + kLayerNormEpsilon);
#pragma unroll
    for (float& value : y) value *= scale;
    return scale;
  }

  __device__ static float row_sum(const float (&values)[kColumns]) {
    float sum = 0.f;
#pragma unroll
    for (const float value : values) sum += value;
    return warp_sum(sum);
  }

  float step;  ///< of the codes

 private:
  const Kernel& kernel_;
  const QuantizedRows& rows_;
  float bias_[kColumns];
};

/// action(row)
template <typename Action>
__device__ void for_rows(std::int32_t num_rows, const Action& action) {
  const std::int64_t step = std::int64_t{gridDim.x} * kWarps;
  for (std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; row < num_rows; row += step)
    action(row);
}

/// The ReLU: not a number stays so.
__device__ inline float positive(float y) { return y < 0.f ? 0.f : y; }

template <int kColumns>
__global__ void __launch_bounds__(kThreads)
    values_kernel(const __grid_constant__ Kernel kernel, float* values, float* scale) {
  const Lane<kColumns> lane(kernel);
  for_rows(kernel.rows.num_rows, [&](std::int64_t row) {
    float y[kColumns];
    lane.normalised(row, y);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (lane.is_there(c))
        values[row * kernel.rows.width + lane.column(c)] =
            Rounded(positive(y[c]), lane.step, kernel.codes).value(lane.step);
    }
  });
  if (blockIdx.x == 0 && threadIdx.x == 0) *scale = lane.step;
}

template <int kColumns>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const __grid_constant__ Kernel kernel, const float* values_gradient, float* gradient,
                    double* sums) {
  __shared__ double parts[kWarps][32 * kColumns + 1];
  const Lane<kColumns> lane(kernel);
  const QuantizedRows& rows = kernel.rows;
  double of_bias[kColumns] = {}, of_scale = 0.;
  for_rows(rows.num_rows, [&](std::int64_t row) {
    float y[kColumns], g[kColumns], products[kColumns];
    const float scale = lane.normalised(row, y);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const float of_value = lane.is_there(c) ? values_gradient[row * rows.width + lane.column(c)] : 0.f;
      const Rounded rounded(positive(y[c]), lane.step, kernel.codes);
      if (lane.is_there(c)) of_scale += rounded.of_scale(of_value, lane.step);
      g[c] = y[c] > 0.f ? rounded.gradient(of_value, lane.step) : 0.f;
      products[c] = g[c] * y[c];
    }
    if (rows.norm) {
      const auto width = static_cast<float>(rows.width);
      const float mean = lane.row_sum(g) / width, along = lane.row_sum(products) / width;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) g[c] = scale * (g[c] - mean - y[c] * along);
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (!lane.is_there(c)) continue;
      gradient[row * rows.width + lane.column(c)] = g[c];
      of_bias[c] += g[c];
    }
  });
  const int warp = static_cast<int>(threadIdx.x) / 32;
  of_scale = warp_sum(of_scale);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) parts[warp][lane.column(c)] = of_bias[c];
  if (threadIdx.x % 32 == 0) parts[warp][32 * kColumns] = of_scale;
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c <= rows.width; c += kThreads) {
    double sum = 0.;
    for (const auto& part : parts) sum += part[c < rows.width ? c : 32 * kColumns];
    sums[std::int64_t{blockIdx.x} * (rows.width + 1) + c] = sum;
  }
}

constexpr int kFinishThreads = 1024;
constexpr int kFinishWarps = kFinishThreads / 32;
constexpr int kMostColumns = kMaxQuantizedWidth + 1;

__global__ void __launch_bounds__(kFinishThreads)
    finish_kernel(const __grid_constant__ Kernel kernel, const double* sums, int num_blocks,
                  const float* scale_gradient, const QuantizedRowsGradients gradients) {
  __shared__ double columns[kFinishWarps][kMostColumns];
  const QuantizedRows& rows = kernel.rows;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (int c = lane; c <= rows.width; c += 32) {
    double sum = 0.;
#pragma unroll 4
    for (int block = warp; block < num_blocks; block += kFinishWarps)
      sum += sums[std::int64_t{block} * (rows.width + 1) + c];
    columns[warp][c] = sum;
  }
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x);
  double sum = 0.;
  if (column <= rows.width) {
    for (const auto& part : columns) sum += part[column];
  }
  if (column == rows.width) {
    const float of_scale = static_cast<float>(sum) + (scale_gradient == nullptr ? 0.f : *scale_gradient);
    *gradients.threshold = gradient_of_magnitude(of_scale, *rows.threshold, kernel.codes);
  }
  if (rows.bias == nullptr) return;
  double of_scale = 0., of_input = 0.;
  if (column < rows.width) {
    const float weight_scale = rows.weight_scale[rows.per_channel ? column : 0], input_scale = *rows.input_scale;
    const float magnitude = weight_scale * input_scale, scale = scale_of(magnitude, kernel.bias_codes);
    const Rounded rounded(rows.bias[column], scale, kernel.bias_codes);
    const auto g = static_cast<float>(sum);
    gradients.bias[column] = rounded.gradient(g, scale);
    const float of_magnitude = gradient_of_magnitude(rounded.of_scale(g, scale), magnitude, kernel.bias_codes);
    if (rows.per_channel) gradients.weight_scale[column] = of_magnitude * input_scale;
    of_scale = of_magnitude;
    of_input = of_magnitude * weight_scale;
  }
  of_scale = block_sum(of_scale);
  of_input = block_sum(of_input);
  if (threadIdx.x > 0) return;
  if (!rows.per_channel) *gradients.weight_scale = static_cast<float>(of_scale) * *rows.input_scale;
  *gradients.input_scale = static_cast<float>(of_input);
}

Kernel kernel_of(const QuantizedRows& rows) {
  return {rows, codes_of(activation_rounding(rows.bits, /*is_signed=*/false, rows.power_of_two)),
          codes_of(rows.bias == nullptr ? Rounding{} : bias_rounding(rows.bias_bits))};
}

int blocks_of(const QuantizedRows& rows) { return static_cast<int>(parts_of(rows.num_rows, kRowsPerBlock)); }

/// action(columns of a lane, as a constant)
template <typename Action>
void with_columns(int width, const Action& action) {
  if (width <= 32) return action(std::integral_constant<int, 1>());
  if (width <= 64) return action(std::integral_constant<int, 2>());
  if (width <= 96) return action(std::integral_constant<int, 3>());
  action(std::integral_constant<int, 4>());
}

}  // namespace

void quantize_rows(const QuantizedRows& rows, float* values, float* scale, const Execution& execution) {
  with_columns(rows.width, [&](auto columns) {
    values_kernel<columns()><<<blocks_of(rows), kThreads, 0, execution.stream>>>(kernel_of(rows), values, scale);
  });
  call(cudaGetLastError());
}

std::size_t workspace_bytes(const QuantizedRows& rows) {
  memory::Layout layout;
  layout.take<double>(static_cast<std::size_t>(blocks_of(rows)) * static_cast<std::size_t>(rows.width + 1));
  return layout.bytes();
}

void quantize_rows_gradient(const QuantizedRows& rows, const float* values_gradient, const float* scale_gradient,
                            const QuantizedRowsGradients& gradients, std::span<std::byte> workspace,
                            const Execution& execution) {
  const int blocks = blocks_of(rows);
  memory::Layout layout(workspace);
  double* const sums = layout.take<double>(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(rows.width + 1));
  const Kernel kernel = kernel_of(rows);
  with_columns(rows.width, [&](auto columns) {
    gradient_kernel<columns()>
        <<<blocks, kThreads, 0, execution.stream>>>(kernel, values_gradient, gradients.sums, sums);
  });
  call(cudaGetLastError());
  finish_kernel<<<1, kFinishThreads, 0, execution.stream>>>(kernel, sums, blocks, scale_gradient, gradients);
  call(cudaGetLastError());
}

}  // namespace starling::fakequantization::cuda
