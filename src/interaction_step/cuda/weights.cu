#include <algorithm>

#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"

// The gradient of a weight is a product over all rows. Rows are divided into parts, a function of the sizes alone; a
// block of threads adds up one part of a square of the weight, each of its warps every fourth group of rows, and the
// warps' sums are added in order. Then the parts are added in order. A lane reads two neighbouring columns, which it
// takes for columns g and g + 8 of a tile of gradients, and for columns g of two tiles of inputs.
namespace starling::interactionstep::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

/// A part of a square of a weight: rows `from` to `to` − 1. kTiles: of eight columns, per side of the square.
template <int kTiles>
struct Square {
  static constexpr int kSide = 8 * kTiles, kRowTiles = kTiles / 2;
  using Sums = float[kRowTiles][kTiles][4];
  using Biases = float[kRowTiles][2];

  /// blockIdx: part, square, job.
  __device__ explicit Square(const WeightKernel& kernel) : job(kernel.jobs[blockIdx.z]) {
    const int across = (job.inputs.width + kSide - 1) / kSide;
    first_output = static_cast<int>(blockIdx.y) / across * kSide;
    first_input = static_cast<int>(blockIdx.y) % across * kSide;
    const std::int64_t rows = kernel.end_row - kernel.first_row;
    const std::int64_t each = (rows + kernel.num_parts - 1) / kernel.num_parts;
    from = kernel.first_row + blockIdx.x * each;
    to = min(from + each, kernel.end_row);
  }
  __device__ bool is_there() const { return first_output < job.gradients.width; }
  __device__ static bool is_full(const Rows& rows, int first_column) {
    return rows.whole && first_column + kSide <= rows.width;
  }

  /// Adds up the warps' sums, in order, into the block's part.
  __device__ void store(const WeightKernel& kernel, const Sums& sums, const Biases& bias) const {
    __shared__ float square[kSide][kSide];
    __shared__ float biases[kSide];
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
    for (int i = static_cast<int>(threadIdx.x); i < kSide * kSide; i += kThreads) {
      const int output = first_output + i / kSide, input = first_input + i % kSide;
      if (output >= job.gradients.width || input >= job.inputs.width) continue;
      float& at = part[job.weight + output * job.stride + input];
      at = kernel.adds ? at + square[i / kSide][i % kSide] : square[i / kSide][i % kSide];
    }
    if (job.bias < 0 || first_input > 0) return;
    for (int i = static_cast<int>(threadIdx.x); i < kSide && first_output + i < job.gradients.width; i += kThreads) {
      float& at = part[job.bias + first_output + i];
      at = kernel.adds ? at + biases[i] : biases[i];
    }
  }

  const WeightJob& job;
  int first_output, first_input;
  std::int64_t from, to;
  int warp = static_cast<int>(threadIdx.x) / 32, group = threadIdx.x % 32 / 4, quarter = threadIdx.x % 4;
};

/// Rows in float, or of both kinds: products of TF32 numbers, which those of bfloat16 are too, over eight rows.
template <int kTiles, bool kSplit>
__global__ void __launch_bounds__(kThreads) weight_kernel(const __grid_constant__ WeightKernel kernel) {
  using S = Square<kTiles>;
  constexpr int kRows = 8;
  const S square(kernel);
  if (!square.is_there()) return;
  const WeightJob& job = square.job;
  typename S::Sums sums = {};
  typename S::Biases bias = {};
  Pair gradients[S::kRowTiles][2], inputs[S::kRowTiles][2];
  const auto load = [&](const Rows& rows, std::int64_t row, int first_column, Pair(&to)[S::kRowTiles][2]) {
    with_storage(rows, S::is_full(rows, first_column), [&](auto storage) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const std::int64_t r = row + square.quarter + 4 * h;
        const Row<decltype(storage)> line(rows, min(r, square.to - 1));
#pragma unroll
        for (int i = 0; i < S::kRowTiles; ++i) {
          const Pair pair = line.pair(first_column + 16 * i + 2 * square.group);
          to[i][h] = {r < square.to ? pair.x : 0.f, r < square.to ? pair.y : 0.f};
        }
      }
    });
  };
  const auto load_rows = [&](std::int64_t row) {
    load(job.gradients, row, square.first_output, gradients);
    load(job.inputs, row, square.first_input, inputs);
  };
  const float least = job.relu ? 0.f : -INFINITY;  // NaN stays NaN
  const std::int64_t first = square.from + square.warp * kRows;
  if (first < square.to) load_rows(first);
  for (std::int64_t row = first; row < square.to; row += kWarps * kRows) {
    Split a[S::kRowTiles][4], b[kTiles][2];
#pragma unroll
    for (int i = 0; i < S::kRowTiles; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const Pair g = gradients[i][h];
        bias[i][0] += g.x;
        bias[i][1] += g.y;
        a[i][2 * h] = operand<kSplit>(g.x);
        a[i][2 * h + 1] = operand<kSplit>(g.y);
        Pair x = inputs[i][h];
        x = {x.x < least ? least : x.x, x.y < least ? least : x.y};
        b[2 * i][h] = operand<kSplit>(x.x);
        b[2 * i + 1][h] = operand<kSplit>(x.y);
      }
    }
    load_rows(row + kWarps * kRows);
#pragma unroll
    for (int i = 0; i < S::kRowTiles; ++i) {
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
  square.store(kernel, sums, bias);
}

/// Of two numbers of each of two rows, those of the lower column, then those of the upper one, that of the first row in
/// the lower half.
__device__ __forceinline__ std::uint32_t lower_of(std::uint32_t first, std::uint32_t second) {
  return __byte_perm(first, second, 0x5410);
}
__device__ __forceinline__ std::uint32_t upper_of(std::uint32_t first, std::uint32_t second) {
  return __byte_perm(first, second, 0x7632);
}
/// Of either half; NaN stays NaN.
__device__ __forceinline__ std::uint32_t at_least(std::uint32_t both, __nv_bfloat162 least) {
  __nv_bfloat162 numbers;
  memcpy(&numbers, &both, sizeof(both));
  numbers = __hmax2_nan(numbers, least);
  memcpy(&both, &numbers, sizeof(both));
  return both;
}

/// Rows in bfloat16: products over 16 rows.
template <int kTiles>
__global__ void __launch_bounds__(kThreads) weight_kernel_bfloat16(const __grid_constant__ WeightKernel kernel) {
  using S = Square<kTiles>;
  constexpr int kRows = 16;
  const S square(kernel);
  if (!square.is_there()) return;
  const WeightJob& job = square.job;
  typename S::Sums sums = {};
  typename S::Biases bias = {};
  std::uint32_t gradients[S::kRowTiles][4], inputs[S::kRowTiles][4];  // of rows 2q, 2q + 1, 2q + 8 and 2q + 9
  const auto load = [&](const Rows& rows, std::int64_t row, int first_column, std::uint32_t(&to)[S::kRowTiles][4]) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const std::int64_t r = row + 2 * square.quarter + n / 2 * 8 + n % 2;
      const Row<Storage<true, true>> line(rows, min(r, square.to - 1));
#pragma unroll
      for (int i = 0; i < S::kRowTiles; ++i) {
        const std::uint32_t both = line.both(first_column + 16 * i + 2 * square.group);
        to[i][n] = r < square.to ? both : 0U;
      }
    }
  };
  const std::int64_t first = square.from + square.warp * kRows;
  const __nv_bfloat162 least = __float2bfloat162_rn(job.relu ? 0.f : -INFINITY);
  if (first < square.to) {
    load(job.gradients, first, square.first_output, gradients);
    load(job.inputs, first, square.first_input, inputs);
  }
  for (std::int64_t row = first; row < square.to; row += kWarps * kRows) {
    std::uint32_t a[S::kRowTiles][4], b[kTiles][2];
#pragma unroll
    for (int i = 0; i < S::kRowTiles; ++i) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const Pair g = widened(gradients[i][n]);
        bias[i][0] += g.x;
        bias[i][1] += g.y;
        inputs[i][n] = at_least(inputs[i][n], least);
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        a[i][2 * h] = lower_of(gradients[i][2 * h], gradients[i][2 * h + 1]);
        a[i][2 * h + 1] = upper_of(gradients[i][2 * h], gradients[i][2 * h + 1]);
        b[2 * i][h] = lower_of(inputs[i][2 * h], inputs[i][2 * h + 1]);
        b[2 * i + 1][h] = upper_of(inputs[i][2 * h], inputs[i][2 * h + 1]);
      }
    }
    load(job.gradients, row + kWarps * kRows, square.first_output, gradients);
    load(job.inputs, row + kWarps * kRows, square.first_input, inputs);
#pragma unroll
    for (int i = 0; i < S::kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) multiply_add(sums[i][j], a[i], b[j][0], b[j][1], __nv_bfloat16());
    }
  }
  square.store(kernel, sums, bias);
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
    for (int n = 0; n < kAtOnce; ++n) value[n] = parts[min(part + n, count - 1) * size + i];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) sum = part + n < count ? sum + value[n] : sum;
  }
  out[i] = sum;
}

/// Both in bfloat16, in full squares.
bool is_bfloat16(const WeightJob& job, int side) {
  const auto fits = [&](const Rows& rows) { return rows.is_bfloat16 && rows.whole && rows.width % side == 0; };
  return fits(job.gradients) && fits(job.inputs);
}

template <int kTiles>
void launch(const WeightKernel& kernel, bool split, cudaStream_t stream) {
  for (const bool bfloat16 : {false, true}) {
    WeightKernel part = kernel;
    part.num_jobs = 0;
    int squares = 0;
    for (int i = 0; i < kernel.num_jobs; ++i) {
      const WeightJob& job = kernel.jobs[i];
      constexpr int kSide = Square<kTiles>::kSide;
      if (is_bfloat16(job, kSide) != bfloat16) continue;
      part.jobs[part.num_jobs++] = job;
      squares = std::max(squares, blocks_of(job.gradients.width, kSide) * blocks_of(job.inputs.width, kSide));
    }
    if (part.num_jobs == 0) continue;
    const dim3 grid(static_cast<unsigned>(part.num_parts), static_cast<unsigned>(squares),
                    static_cast<unsigned>(part.num_jobs));
    const auto run = bfloat16 ? weight_kernel_bfloat16<kTiles>
                     : split  ? weight_kernel<kTiles, true>
                              : weight_kernel<kTiles, false>;
    run<<<grid, kThreads, 0, stream>>>(part);
    call(cudaGetLastError());
  }
}

}  // namespace

void weight_gradient(const WeightKernel& kernel, int tiles, bool split, cudaStream_t stream) {
  // Squares of 48 columns where two or one fill the width, of 32 or 64 otherwise.
  if (tiles == 4) return launch<4>(kernel, split, stream);
  if (tiles == 6 || tiles == 12) return launch<6>(kernel, split, stream);
  launch<8>(kernel, split, stream);
}

void add_parts(const float* parts, int num_parts, std::int64_t size, float* out, cudaStream_t stream) {
  add_kernel<<<blocks_of(size, kAddThreads), kAddThreads, 0, stream>>>(parts, num_parts, size, out);
  call(cudaGetLastError());
}

}  // namespace starling::interactionstep::cuda
