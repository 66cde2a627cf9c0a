#pragma once

#include "interaction_step/cuda/numbers.cuh"
#include "starling/dense.h"

// What a warp does with a tile: 16 rows, 8 · tiles columns, of which each lane holds sums in registers (numbers.cuh).
namespace starling::interactionstep::cuda {
namespace {

constexpr int kRows = 16;  // of a tile

/// More warps hide the latency of loads, as long as two arrays of sums and one of numbers of rows fit into registers.
constexpr int warps_of(int tiles) { return tiles <= 6 ? 16 : tiles <= 8 ? 12 : 8; }
constexpr int threads_of(int tiles) { return 32 * warps_of(tiles); }

template <Product kProduct, int kTiles>
struct Warp {
  using O = Operands<kProduct>;
  using Fragment = typename O::Fragment;
  static constexpr int kSlices = kTiles / 2, kWarps = warps_of(kTiles);
  static constexpr int kSliceFragments = O::kHalves * kTiles * 32;
  static constexpr bool kSeesBFloat16 = kProduct == Product::bfloat16;
  using Sums = float[kTiles][4];

  /// Row h (0 or 1) of a lane is first + 8 h + lane / 4.
  std::int64_t first, end;
  int lane = threadIdx.x % 32, quarter = lane % 4;

  __device__ std::int64_t row(int h) const { return first + 8 * h + lane / 4; }
  /// The same, or the last row: what is read of rows that are not there goes nowhere.
  __device__ std::int64_t read_row(int h) const { return min(row(h), end - 1); }
  template <typename Data>
  __device__ static bool is_full(const RowsOf<Data>& rows) {
    return rows.whole && rows.width == 8 * kTiles;
  }

  /// The tiles of a warp: neighbours are of different blocks, so that few tiles are spread over all multiprocessors.
  template <typename Action>
  __device__ static void for_tiles_of(std::int64_t first_row, std::int64_t end_row, const Action& action) {
    const std::int64_t step = std::int64_t{gridDim.x} * kWarps * kRows;
    for (std::int64_t first = first_row + (std::int64_t{threadIdx.x / 32} * gridDim.x + blockIdx.x) * kRows;
         first < end_row; first += step)
      action(Warp{first, end_row});
  }

  /// All slices of rows in float.
  __device__ void load(const Rows& rows, float (&values)[kSlices][8]) const {
    with_storage<false>(rows, is_full(rows), [&](auto storage) {
      using R = Row<decltype(storage)>;
      const R lines[2] = {R(rows, read_row(0)), R(rows, read_row(1))};
#pragma unroll
      for (int s = 0; s < kSlices; ++s) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const float4 quad = lines[h].quad(16 * s + 4 * quarter);
          values[s][2 * h] = quad.x;
          values[s][2 * h + 1] = quad.y;
          values[s][2 * h + 4] = quad.z;
          values[s][2 * h + 5] = quad.w;
        }
      }
    });
  }
  /// All slices of rows in bfloat16, as the product takes them.
  __device__ void load(const Rows& rows, std::uint32_t (&values)[kSlices][4]) const {
    const auto load_all = [&](auto storage) {
      using R = Row<decltype(storage)>;
      const R lines[2] = {R(rows, read_row(0)), R(rows, read_row(1))};
#pragma unroll
      for (int s = 0; s < kSlices; ++s) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const uint2 packed = lines[h].packed(16 * s + 4 * quarter);
          values[s][h] = packed.x;
          values[s][h + 2] = packed.y;
        }
      }
    };
    if (is_full(rows)) {
      load_all(Storage<true, true>());
    } else {
      load_all(Storage<true, false>());
    }
  }

  /// Adds the product of rows with weights.
  __device__ void multiply_rows(const Rows& rows, const Fragment* weights, Sums& sums) const {
    const auto multiply = [&](const auto& values) {
#pragma unroll
      for (int s = 0; s < kSlices; ++s) {
        if (16 * s >= rows.width) break;
        O::multiply(values[s], weights + s * kSliceFragments + lane, sums);
      }
    };
    if constexpr (kSeesBFloat16) {
      std::uint32_t packed[kSlices][4];
      if (rows.is_bfloat16) {
        load(rows, packed);
        multiply(packed);
        return;
      }
      // A float is the sum of three numbers of bfloat16.
      float values[kSlices][8];
      load(rows, values);
#pragma unroll 1
      for (int part = 0; part < 3; ++part) {
#pragma unroll
        for (int s = 0; s < kSlices; ++s) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            packed[s][i] = pack_bfloat16(values[s][2 * i], values[s][2 * i + 1]);
            const float2 taken = widened(packed[s][i]);
            values[s][2 * i] -= taken.x;
            values[s][2 * i + 1] -= taken.y;
          }
        }
        multiply(packed);
      }
    } else {
      float values[kSlices][8];
      load(rows, values);
      multiply(values);
    }
  }

  /// Adds the product of numbers as sums lie.
  __device__ void multiply_sums(const Sums& from, int width, const Fragment* weights, Sums& sums) const {
#pragma unroll
    for (int s = 0; s < kSlices; ++s) {
      if (16 * s >= width) break;
      float slice[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) slice[i] = from[2 * s + i / 4][i % 4];
      O::multiply(slice, weights + s * kSliceFragments + lane, sums);
    }
  }

  /// `bias`: of a layer, as bring_biases() leaves them.
  __device__ void set_bias(const float* bias, Sums& sums) const {
#pragma unroll
    for (int s = 0; s < kSlices; ++s) {
      const float4 value = *reinterpret_cast<const float4*>(bias + 16 * s + 4 * quarter);
      sums[2 * s][0] = sums[2 * s][2] = value.x;
      sums[2 * s][1] = sums[2 * s][3] = value.y;
      sums[2 * s + 1][0] = sums[2 * s + 1][2] = value.z;
      sums[2 * s + 1][1] = sums[2 * s + 1][3] = value.w;
    }
  }

  /// Rows of two tables of float at these indices, for the lane's two rows. No load waits for another term's.
  __device__ void add_gathered(const Gathered (&terms)[2], Sums& sums) const {
    if (terms[0].num_rows == 0) return;
    std::int32_t index[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) index[i][h] = __ldg(terms[i].index + read_row(h));
    }
    with_storage<false>(terms[0].table, is_full(terms[0].table) && is_full(terms[1].table), [&](auto storage) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const bool there = static_cast<std::uint32_t>(index[i][h]) < static_cast<std::uint32_t>(terms[i].num_rows);
          const Row<decltype(storage)> line(terms[i].table, there ? index[i][h] : 0);
#pragma unroll
          for (int s = 0; s < kSlices; ++s) {
            const float4 quad = line.quad(16 * s + 4 * quarter);
            sums[2 * s][2 * h] += there ? quad.x : 0.f;
            sums[2 * s][2 * h + 1] += there ? quad.y : 0.f;
            sums[2 * s + 1][2 * h] += there ? quad.z : 0.f;
            sums[2 * s + 1][2 * h + 1] += there ? quad.w : 0.f;
          }
        }
      }
    });
  }

  __device__ void add_rows(const Rows& rows, Sums& sums) const {
    if (rows.data == nullptr) return;
    with_storage<kSeesBFloat16>(rows, is_full(rows), [&](auto storage) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const Row<decltype(storage)> line(rows, read_row(h));
#pragma unroll
        for (int s = 0; s < kSlices; ++s) {
          const float4 quad = line.quad(16 * s + 4 * quarter);
          sums[2 * s][2 * h] += quad.x;
          sums[2 * s][2 * h + 1] += quad.y;
          sums[2 * s + 1][2 * h] += quad.z;
          sums[2 * s + 1][2 * h + 1] += quad.w;
        }
      }
    });
  }

  __device__ void store(const MutableRows& rows, const Sums& sums) const {
    with_storage<kSeesBFloat16>(rows, is_full(rows), [&](auto storage) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (row(h) >= end) continue;
#pragma unroll
        for (int s = 0; s < kSlices; ++s)
          store_quad<decltype(storage)>(
              rows, row(h), 16 * s + 4 * quarter,
              {sums[2 * s][2 * h], sums[2 * s][2 * h + 1], sums[2 * s + 1][2 * h], sums[2 * s + 1][2 * h + 1]});
      }
    });
  }

  __device__ static void clear(Sums& sums) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[j][i] = 0;
    }
  }
  __device__ static void copy(const Sums& from, Sums& to) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[j][i] = from[j][i];
    }
  }

  /// NaN stays NaN.
  __device__ static void relu(Sums& sums) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[j][i] = sums[j][i] < 0 ? 0.f : sums[j][i];
    }
  }

  /// The sum over the four lanes that hold a row.
  __device__ static float row_sum(float value) {
    value += __shfl_xor_sync(0xFFFFFFFFU, value, 1);
    return value + __shfl_xor_sync(0xFFFFFFFFU, value, 2);
  }

  /// Layer normalisation; `scale` gets 1 / √(variance + ε) of each row. Beyond `width` all is 0, before and after.
  __device__ void normalise(Sums& sums, int width, float (&scale)[2]) const {
    const float share = 1.f / static_cast<float>(width);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float total = 0, square = 0;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) total += sums[j][2 * h] + sums[j][2 * h + 1];
      const float mean = row_sum(total) * share;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const float distance = column_of(j, quarter, c) < width ? sums[j][2 * h + c] - mean : 0.f;
          sums[j][2 * h + c] = distance;
          square += distance * distance;
        }
      }
      scale[h] = rsqrtf(row_sum(square) * share + kLayerNormEpsilon);
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) sums[j][2 * h + c] *= scale[h];
      }
    }
  }

  /// From the gradient of a layer's output to that of its sums, by way of ReLU and normalisation; `scales` of the rows
  /// as normalise() gave them.
  __device__ void back_through(const Layer& layer, const Rows& normalised, const float* scales, Sums& gradient) const {
    Sums value;
    clear(value);
    add_rows(normalised, value);
    const float share = 1.f / static_cast<float>(layer.out);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float total = 0, along = 0;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i) {
          gradient[j][i] = value[j][i] > 0 ? gradient[j][i] : 0.f;
          total += gradient[j][i];
          along += gradient[j][i] * value[j][i];
        }
      }
      if (!layer.norm) continue;
      const float mean = row_sum(total) * share, slope = row_sum(along) * share;
      const float scale = scales[read_row(h) - normalised.first];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& g = gradient[j][2 * h + c];
          g = column_of(j, quarter, c) < layer.out ? (g - mean - value[j][2 * h + c] * slope) * scale : 0.f;
        }
      }
    }
  }

  __device__ void first_layer(const MlpKernel& mlp, const Fragment* packed, const float* biases, Sums& sums) const {
    set_bias(biases, sums);
    add_gathered(mlp.gathered, sums);
    std::int64_t place = mlp.layers[0].packed;
#pragma unroll 1
    for (int s = 0; s < mlp.num_sources; ++s) {
      multiply_rows(mlp.sources[s], packed + place, sums);
      place += std::int64_t{(mlp.sources[s].width + 15) / 16} * kSliceFragments;
    }
  }
};

}  // namespace
}  // namespace starling::interactionstep::cuda
