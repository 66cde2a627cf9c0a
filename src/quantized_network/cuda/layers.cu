#include "quantized_network/cuda/layers.h"

#include <cuda_runtime.h>

#include "cuda/launch.cuh"
#include "cuda/warp.cuh"

namespace starling::quantized_network::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kTile = 32, kMomentRows = 1024;

__device__ std::int32_t code_at(const LayerPart& part, std::int64_t row, int column) {
  const std::int64_t at = (part.places != nullptr ? part.places[row] : row) * part.width + column;
  if (part.codes == nullptr) return dense::code_of(part.features[at], part.grid);
  const std::int32_t code = part.codes[at];
  return part.requantizes ? dense::code_of(dense::value_of(code, part.scale), part.grid) : code;
}

/// A block has 32 rows, and all outputs of them, 32 at a time.
__global__ void __launch_bounds__(kThreads) product_kernel(const __grid_constant__ ProductPass pass) {
  __shared__ std::int32_t codes[kTile][kTile + 1], weights[kTile][kTile + 1];
  starling::cuda::after_previous();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  if (pass.moments != nullptr && blockIdx.x == 0) {
    for (int c = static_cast<int>(threadIdx.x); c < pass.out; c += kThreads) pass.moments[c] = {};
  }
  const std::int64_t rows = *pass.count.rows, first = std::int64_t{blockIdx.x} * kTile;
  if (first >= rows) return;
  for (int first_out = 0; first_out < pass.out; first_out += kTile) {
    const int out = first_out + lane;
    std::int64_t sums[kTile / kWarps];
    for (std::int64_t& sum : sums) sum = pass.bias != nullptr && out < pass.out ? pass.bias[out] : 0;
    for (int first_in = 0; first_in < pass.in; first_in += kTile) {
      const int in = first_in + lane;
      int part = 0, column = in;
      while (part < pass.num_parts && column >= pass.parts[part].width) column -= pass.parts[part++].width;
      __syncthreads();  // the numbers before have been read
      for (int i = warp; i < kTile; i += kWarps) {
        const std::int64_t row = first + i;
        codes[i][lane] = row < rows && in < pass.in ? code_at(pass.parts[part], row, column) : 0;
        const int weight_out = first_out + i;
        weights[i][lane] =
            weight_out < pass.out && in < pass.in ? pass.weights[std::int64_t{weight_out} * pass.in + in] : 0;
      }
      __syncthreads();
      for (int i = 0; i < kTile / kWarps; ++i) {
        std::int32_t sum = 0;  // of 32 products of 12 bits each
        for (int k = 0; k < kTile; ++k) sum += codes[warp + i * kWarps][k] * weights[lane][k];
        sums[i] += sum;
      }
    }
    for (int i = 0; i < kTile / kWarps; ++i) {
      const std::int64_t row = first + warp + i * kWarps;
      if (row < rows && out < pass.out) pass.sums[row * pass.out + out] = sums[i];
    }
  }
}

__global__ void __launch_bounds__(kThreads) moments_kernel(const __grid_constant__ MomentsPass pass) {
  starling::cuda::after_previous();
  const std::int64_t rows = *pass.count.rows, first = std::int64_t{blockIdx.x} * kMomentRows;
  const std::int64_t end = min(rows, first + kMomentRows);
  if (first >= end) return;
  for (int c = static_cast<int>(threadIdx.x); c < pass.width; c += kThreads) {
    dense::IntegerMoments moments{0, 0, 0};
    for (std::int64_t row = first; row < end; ++row) dense::add_to(moments, pass.sums[row * pass.width + c]);
    ColumnMoments& all = pass.moments[c];
    // Negative numbers wrap around, as sums of integers may.
    atomicAdd(&all.sum, static_cast<unsigned long long>(moments.sum));
    for (int i = 0; i < 4; ++i) {
      atomicAdd(&all.squares[i],
                static_cast<unsigned long long>(static_cast<std::uint32_t>(moments.squares >> 32 * i)));
    }
  }
}

__device__ dense::IntegerMoments column_moments(const ColumnMoments& of, std::int64_t rows) {
  dense::IntegerMoments moments{rows, static_cast<std::int64_t>(of.sum), 0};
  for (int i = 0; i < 4; ++i) moments.squares += static_cast<__int128>(of.squares[i]) << 32 * i;
  return moments;
}

/// The sums over the lanes of a warp, in all of them.
__device__ void add_lanes(dense::IntegerMoments& moments) {
  for (int step = 16; step > 0; step /= 2) {
    moments.sum += __shfl_xor_sync(starling::cuda::kWarp, static_cast<long long>(moments.sum), step);
    const auto squares = static_cast<unsigned __int128>(moments.squares);
    const unsigned long long low =
        __shfl_xor_sync(starling::cuda::kWarp, static_cast<unsigned long long>(squares), step);
    const unsigned long long high =
        __shfl_xor_sync(starling::cuda::kWarp, static_cast<unsigned long long>(squares >> 64), step);
    moments.squares += static_cast<__int128>(static_cast<unsigned __int128>(high) << 64 | low);
  }
}

/// A row per warp.
__global__ void __launch_bounds__(kThreads) quantize_kernel(const __grid_constant__ QuantizePass pass) {
  starling::cuda::after_previous();
  const std::int64_t rows = *pass.count.rows, row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::int64_t* const sums = pass.sums + row * pass.width;
  dense::IntegerMoments of_row{pass.width, 0, 0};
  double deviation = 1.;
  if (pass.norm == Norm::layer) {
    for (int c = lane; c < pass.width; c += 32) {
      if (pass.ratio != nullptr) sums[c] = dense::rescaled(sums[c], pass.ratio[c]);
      dense::add_to(of_row, sums[c]);
    }
    add_lanes(of_row);
    deviation = dense::integer_deviation(of_row, pass.floor);
  }
  for (int c = lane; c < pass.width; c += 32) {
    float value = 0.f;
    if (pass.norm == Norm::layer) {
      value = static_cast<float>(dense::difference_from_mean(of_row, sums[c]) / deviation);
    } else if (pass.norm == Norm::batch) {
      const dense::IntegerMoments of_column = column_moments(pass.moments[c], rows);
      const double column_deviation =
          dense::batch_deviation(of_column, double{kBatchNormEpsilon}, double{pass.scale[c]});
      value = dense::batch_normalised(dense::difference_from_mean(of_column, sums[c]) / column_deviation,
                                      pass.norm_weight[c], pass.norm_bias[c]);
    } else {
      value = dense::value_of(sums[c], pass.scale[c]);
    }
    pass.codes[row * pass.width + c] = dense::code_of(value, pass.grid);
  }
}

/// A row per warp, one half of the blocks for each direction.
__global__ void __launch_bounds__(kThreads) sums_kernel(const __grid_constant__ SumsPass pass) {
  starling::cuda::after_previous();
  const unsigned half = gridDim.x / 2;
  const bool into = blockIdx.x < half;
  const std::int64_t row = std::int64_t{into ? blockIdx.x : blockIdx.x - half} * kWarps + threadIdx.x / 32;
  if (row >= *pass.count.rows) return;
  const std::uint32_t* const splits = into ? pass.in_splits : pass.out_splits;
  std::int32_t* const codes = (into ? pass.in : pass.out) + row * pass.width;
  for (int c = static_cast<int>(threadIdx.x) % 32; c < pass.width; c += 32) {
    std::int64_t sum = 0;
    for (std::uint32_t i = splits[row]; i < splits[row + 1]; ++i) {
      const std::int64_t edge = into ? pass.in_edges[i] : i;
      sum += pass.messages[edge * pass.width + c];
    }
    codes[c] = dense::code_of(dense::value_of(sum, pass.scale), pass.grid);
  }
}

__global__ void __launch_bounds__(kThreads) logits_kernel(const __grid_constant__ LogitsPass pass) {
  starling::cuda::after_previous();
  const std::int64_t row = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row < *pass.count.rows) pass.logits[pass.edge[row]] = dense::value_of(pass.sums[row], pass.scale);
}

template <typename Pass>
void launch(void (*kernel)(Pass), const Pass& pass, int rows_per_block, cudaStream_t stream) {
  starling::cuda::launch_after(kernel, starling::cuda::blocks_of(pass.count.capacity, rows_per_block), kThreads, 0,
                               stream, pass);
}

}  // namespace

void run(const ProductPass& pass, cudaStream_t stream) { launch(product_kernel, pass, kTile, stream); }
void run(const MomentsPass& pass, cudaStream_t stream) { launch(moments_kernel, pass, kMomentRows, stream); }
void run(const QuantizePass& pass, cudaStream_t stream) { launch(quantize_kernel, pass, kWarps, stream); }
void run(const LogitsPass& pass, cudaStream_t stream) { launch(logits_kernel, pass, kThreads, stream); }
void run(const SumsPass& pass, cudaStream_t stream) {
  starling::cuda::launch_after(sums_kernel, 2 * starling::cuda::blocks_of(pass.count.capacity, kWarps), kThreads, 0,
                               stream, pass);
}

}  // namespace starling::quantized_network::cuda
