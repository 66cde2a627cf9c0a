#include <algorithm>

#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"

// The gradient of a weight is a product over all rows. Rows are divided into parts, a function of the sizes alone; a
// block of threads adds up one part of a square of the weight, each of its warps every fourth group of eight rows, and
// the warps' sums are added in order. Then the parts are added in order. Products are of TF32 numbers, which those of
// bfloat16 are too. A lane reads two neighbouring columns, which it takes for columns g and g + 8 of a tile of
// gradients, and for columns g of two tiles of inputs.
namespace starling::interactionstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kRows = 8;  // of a product

/// blockIdx: part, square, job. kTiles: of eight columns, per side of a square.
template <int kTiles, bool kSplit>
__global__ void __launch_bounds__(kThreads) weight_kernel(const __grid_constant__ WeightKernel kernel) {
  constexpr int kSide = 8 * kTiles, kRowTiles = kTiles / 2;
  __shared__ float square[kSide][kSide];
  __shared__ float biases[kSide];
  const WeightJob& job = kernel.jobs[blockIdx.z];
  const int across = (job.inputs.width + kSide - 1) / kSide;
  const int first_output = static_cast<int>(blockIdx.y) / across * kSide,
            first_input = static_cast<int>(blockIdx.y) % across * kSide;
  if (first_output >= job.gradients.width) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, quarter = lane % 4;
  const std::int64_t rows = kernel.end_row - kernel.first_row;
  const std::int64_t each = (rows + kernel.num_parts - 1) / kernel.num_parts;
  const std::int64_t from = kernel.first_row + blockIdx.x * each, to = min(from + each, kernel.end_row);

  float sums[kRowTiles][kTiles][4] = {};
  float bias[kRowTiles][2] = {};
  Pair gradients[kRowTiles][2], inputs[kRowTiles][2];
  const auto load = [&](std::int64_t row) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const std::int64_t r = row + quarter + 4 * h;
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        const int column = 16 * i + 2 * group;
        gradients[i][h] = r < to ? load_pair(job.gradients, r, first_output + column) : Pair{};
        inputs[i][h] = r < to ? load_pair(job.inputs, r, first_input + column) : Pair{};
      }
    }
  };
  load(from + warp * kRows);
  for (std::int64_t row = from + warp * kRows; row < to; row += kWarps * kRows) {
    Split a[kRowTiles][4], b[kTiles][2];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const Pair g = gradients[i][h];
        bias[i][0] += g.x;
        bias[i][1] += g.y;
        a[i][2 * h] = split(g.x);
        a[i][2 * h + 1] = split(g.y);
        Pair x = inputs[i][h];
        if (job.relu) x = {x.x < 0 ? 0.f : x.x, x.y < 0 ? 0.f : x.y};
        b[2 * i][h] = split(x.x);
        b[2 * i + 1][h] = split(x.y);
      }
    }
    load(row + kWarps * kRows);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      const std::uint32_t high[4] = {a[i][0].high, a[i][1].high, a[i][2].high, a[i][3].high};
      const std::uint32_t low[4] = {a[i][0].low, a[i][1].low, a[i][2].low, a[i][3].low};
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        if constexpr (kSplit) {
          multiply_add_tf32(sums[i][j], low, b[j][0].high, b[j][1].high);
          multiply_add_tf32(sums[i][j], high, b[j][0].low, b[j][1].low);
        }
        multiply_add_tf32(sums[i][j], high, b[j][0].high, b[j][1].high);
      }
    }
  }

  for (int w = 0; w < kWarps; ++w) {
    if (w == warp) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float total = bias[i][c];
          total += __shfl_xor_sync(0xFFFFFFFFU, total, 1);
          total += __shfl_xor_sync(0xFFFFFFFFU, total, 2);
          float& at = biases[16 * i + 2 * group + c];
          if (quarter == 0) at = w == 0 ? total : at + total;
        }
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int v = 0; v < 4; ++v) {
            float& at = square[16 * i + 2 * group + v / 2][j / 2 * 16 + 2 * (2 * quarter + v % 2) + j % 2];
            at = w == 0 ? sums[i][j][v] : at + sums[i][j][v];
          }
        }
      }
    }
    __syncthreads();
  }
  float* const part = kernel.parts + blockIdx.x * kernel.size;
  for (int i = threadIdx.x; i < kSide * kSide; i += kThreads) {
    const int output = first_output + i / kSide, input = first_input + i % kSide;
    if (output >= job.gradients.width || input >= job.inputs.width) continue;
    float& at = part[job.weight + output * job.stride + input];
    at = kernel.adds ? at + square[i / kSide][i % kSide] : square[i / kSide][i % kSide];
  }
  if (job.bias < 0 || first_input > 0) return;
  for (int i = threadIdx.x; i < kSide && first_output + i < job.gradients.width; i += kThreads) {
    float& at = part[job.bias + first_output + i];
    at = kernel.adds ? at + biases[i] : biases[i];
  }
}

constexpr int kAddThreads = 128;

__global__ void __launch_bounds__(kAddThreads)
    add_kernel(const float* parts, int count, std::int64_t size, float* out) {
  constexpr int kAtOnce = 16;
  const std::int64_t i = std::int64_t{blockIdx.x} * kAddThreads + threadIdx.x;
  if (i >= size) return;
  float sum = 0;
  for (int part = 0; part < count; part += kAtOnce) {
    float value[kAtOnce];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) value[n] = part + n < count ? parts[(part + n) * size + i] : 0.f;
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) sum = part + n < count ? sum + value[n] : sum;
  }
  out[i] = sum;
}

template <int kTiles, bool kSplit>
void launch(const WeightKernel& kernel, cudaStream_t stream) {
  const int side = 8 * kTiles;
  int squares = 0;
  for (int i = 0; i < kernel.num_jobs; ++i) {
    const WeightJob& job = kernel.jobs[i];
    squares = std::max(squares, blocks_of(job.gradients.width, side) * blocks_of(job.inputs.width, side));
  }
  const dim3 grid(static_cast<unsigned>(kernel.num_parts), static_cast<unsigned>(squares),
                  static_cast<unsigned>(kernel.num_jobs));
  weight_kernel<kTiles, kSplit><<<grid, kThreads, 0, stream>>>(kernel);
  call(cudaGetLastError());
}

}  // namespace

void weight_gradient(const WeightKernel& kernel, int tiles, bool split, cudaStream_t stream) {
  // Squares of 48 columns where two or one fill the width, of 32 or 64 otherwise.
  const bool thirds = tiles == 6 || tiles == 12;
  if (tiles == 4) return split ? launch<4, true>(kernel, stream) : launch<4, false>(kernel, stream);
  if (thirds) return split ? launch<6, true>(kernel, stream) : launch<6, false>(kernel, stream);
  return split ? launch<8, true>(kernel, stream) : launch<8, false>(kernel, stream);
}

void add_parts(const float* parts, int num_parts, std::int64_t size, float* out, cudaStream_t stream) {
  add_kernel<<<blocks_of(size, kAddThreads), kAddThreads, 0, stream>>>(parts, num_parts, size, out);
  call(cudaGetLastError());
}

}  // namespace starling::interactionstep::cuda
