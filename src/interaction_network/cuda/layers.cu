#include "interaction_network/cuda/layers.h"

#include <cuda_runtime.h>

#include "dense/cuda/float_tile.cuh"
#include "dense/tile_rows.h"
#include "interaction_network/cuda/launch.cuh"

namespace starling::interaction_network::cuda {

using starling::cuda::blocks_of, starling::cuda::call;

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kMomentThreads = 128;

/// Columns first .. first + depth − 1 of a part become the inputs of a warp.
template <typename Tile>
__device__ void load(const LayerPass& pass, const Part& part, std::int64_t first_row, int count, int first, int depth,
                     float* inputs) {
  __syncwarp();
  for (int i = static_cast<int>(threadIdx.x % 32); i < Tile::kRows * depth; i += 32) {
    const int r = i / depth, c = i % depth;
    float value = 0.f;
    if (r < count) {
      const std::int64_t row = part.rows != nullptr ? part.rows[first_row + r] : first_row + r;
      value = part.data[row * part.stride + first + c];
      if (pass.scale != nullptr) {
        value = fmaf(value, pass.scale[first + c], pass.shift[first + c]);
        value = value < 0.f ? 0.f : value;  // NaN stays
      }
    }
    inputs[r * Tile::kStride + c] = value;
  }
  __syncwarp();
}

template <int kSixteens>
__global__ void __launch_bounds__(kThreads, 2) layer_kernel(const __grid_constant__ LayerPass pass) {
  using Tile = dense::cuda::FloatTile<kSixteens>;
  using Stream = dense::cuda::WeightStream<Tile::kColumns, false>;
  constexpr int kEach = Tile::kEach;
  extern __shared__ float4 memory[];
  float* const shared = reinterpret_cast<float*>(memory);
  const int panels = pass.columns / Tile::kColumns, all_weights = panels * pass.weight_rows;
  Stream stream(pass.weights, all_weights, shared);
  starling::cuda::after_previous();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  float* const inputs = shared + Stream::floats(all_weights) + warp * Tile::kFloats;
  const std::int32_t rows = *pass.rows;
  for (std::int64_t block_first = std::int64_t{blockIdx.x} * kWarps * Tile::kRows; block_first < rows;
       block_first += std::int64_t{gridDim.x} * kWarps * Tile::kRows) {
    const std::int64_t first = block_first + warp * Tile::kRows;
    const int count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Tile::kRows}, rows - first)));
    float squares[kEach][2] = {};
    for (int panel = 0; panel < panels; ++panel) {
      const int column = panel * Tile::kColumns;
      Tile tile;
      tile.clear();
      for (int p = 0; p < pass.num_parts; ++p) {
        const Part& part = pass.parts[p];
        for (int at = 0; at < part.width; at += Tile::kColumns) {
          const int depth = min(Tile::kColumns, part.width - at);
          load<Tile>(pass, part, first, count, at, depth, inputs);
          tile.add(inputs, depth, stream);
        }
      }
      if (pass.row_scale != nullptr) {
        float factor[kEach];
#pragma unroll
        for (int r = 0; r < kEach; ++r) factor[r] = tile.row(r) < count ? pass.row_scale[first + tile.row(r)] : 0.f;
        tile.scale(factor);
      }
      if (pass.bias != nullptr) tile.add_bias(pass.bias + column);
      if (pass.by_src != nullptr) {
        tile.add_gathered(pass.by_src + column, pass.by_dst + column, pass.columns, pass.src + first, pass.dst + first,
                          count);
      }
      if (pass.inverse_deviation != nullptr) tile.add_squares(squares);
      if (pass.relu) tile.relu();
      if (pass.out != nullptr) {
        tile.store(pass.out + first * pass.columns + column, pass.columns, count);
      } else if (panel == 0 && tile.column(0) == 0) {
#pragma unroll
        for (int r = 0; r < kEach; ++r) {
          if (tile.row(r) < count) pass.logits[pass.edge[first + tile.row(r)]] = tile.sum[r][0];
        }
      }
    }
    if (pass.inverse_deviation != nullptr) {
      float inverse[kEach];
      Tile::finish_squares(squares, static_cast<float>(pass.width), kLayerNormEpsilon, inverse);
      if (Tile::column(0) == 0) {
#pragma unroll
        for (int r = 0; r < kEach; ++r) {
          if (Tile::row(r) < count) pass.inverse_deviation[first + Tile::row(r)] = inverse[r];
        }
      }
    }
  }
  stream.finish();
}

template <int kSixteens>
void run_sixteens(const LayerPass& pass, cudaStream_t stream) {
  using Tile = dense::cuda::FloatTile<kSixteens>;
  const int floats = dense::cuda::WeightStream<Tile::kColumns, false>::floats(0) + kWarps * Tile::kFloats;
  launch_persistent(layer_kernel<kSixteens>, pass, blocks_of(pass.capacity, kWarps * Tile::kRows), kThreads,
                    floats * static_cast<int>(sizeof(float)), stream);
}

/// Merges `count` rows into `before` rows (Chan, Golub and LeVeque's pairwise update).
template <typename T>
__device__ void merge(double before, double& mean, double& m2, double count, T other_mean, T other_m2) {
  if (before == 0.) mean = m2 = 0.;
  const double difference = double(other_mean) - mean;
  mean += difference * (count / (before + count));
  m2 += double(other_m2) + difference * difference * (before * count / (before + count));
}

/// A block per chunk, a thread per column.
__global__ void __launch_bounds__(kMomentThreads)
    moments_kernel(const __grid_constant__ MomentsPass pass, int tile_rows, int tiles) {
  const std::int64_t rows = *pass.rows, begin = std::int64_t{blockIdx.x} * tiles * tile_rows;
  for (int c = static_cast<int>(threadIdx.x); c < pass.columns; c += kMomentThreads) {
    double mean = 0., m2 = 0.;
    for (int tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = begin + std::int64_t{tile} * tile_rows;
      if (first >= rows) break;
      const int count = static_cast<int>(min(std::int64_t{tile_rows}, rows - first));
      const float* const data = pass.data + first * pass.columns + c;
      float sum = 0.f, squares = 0.f;
      for (int r = 0; r < count; ++r) sum += data[std::int64_t{r} * pass.columns];
      sum *= 1.f / static_cast<float>(count);
      for (int r = 0; r < count; ++r) {
        const float difference = data[std::int64_t{r} * pass.columns] - sum;
        squares = fmaf(difference, difference, squares);
      }
      merge(double(first - begin), mean, m2, double(count), sum, squares);
    }
    pass.chunks[(2 * std::int64_t{blockIdx.x}) * pass.columns + c] = mean;
    pass.chunks[(2 * std::int64_t{blockIdx.x} + 1) * pass.columns + c] = m2;
  }
}

__global__ void __launch_bounds__(kMomentThreads)
    finish_moments_kernel(const __grid_constant__ MomentsPass pass, std::int64_t chunk_rows) {
  const int c = static_cast<int>(blockIdx.x) * kMomentThreads + static_cast<int>(threadIdx.x);
  if (c >= pass.columns) return;
  const std::int64_t rows = *pass.rows;
  double mean = pass.chunks[c], m2 = pass.chunks[pass.columns + c];
  for (std::int64_t chunk = 1; chunk * chunk_rows < rows; ++chunk) {
    const std::int64_t before = chunk * chunk_rows;
    const double* const other = pass.chunks + 2 * chunk * pass.columns + c;
    merge(double(before), mean, m2, double(min(chunk_rows, rows - before)), other[0], other[pass.columns]);
  }
  const double scale = double{pass.norm_weight[c]} / sqrt(m2 / double(rows) + double{kBatchNormEpsilon});
  pass.scale[c] = static_cast<float>(scale);
  pass.shift[c] = static_cast<float>(double{pass.norm_bias[c]} - mean * scale);
}

}  // namespace

void run(const LayerPass& pass, cudaStream_t stream) {
  with_sixteens(pass.columns, [&](auto sixteens) { run_sixteens<sixteens.value>(pass, stream); });
}

std::int64_t moment_chunks(std::int64_t rows, int width) { return dense::chunk_count(rows, dense::tile_rows(width)); }

void run(const MomentsPass& pass, cudaStream_t stream) {
  const int tile = dense::tile_rows(pass.width);
  const auto chunks = static_cast<unsigned>(moment_chunks(pass.capacity, pass.width));
  moments_kernel<<<chunks, kMomentThreads, 0, stream>>>(pass, tile, dense::kTilesPerChunk);
  finish_moments_kernel<<<blocks_of(pass.columns, kMomentThreads), kMomentThreads, 0, stream>>>(
      pass, std::int64_t{tile} * dense::kTilesPerChunk);
  call(cudaGetLastError());
}

}  // namespace starling::interaction_network::cuda
