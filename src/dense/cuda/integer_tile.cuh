#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/integer_mma.cuh"
#include "cuda/warp.cuh"
#include "dense/cuda/codes.h"

// Dense layers in codes of 8 bits on the 16 rows of a warp: products on tensor cores, and sums of integers to codes in
// registers. A row stays with the four threads of a quad, and the codes of a layer are in the registers in which the
// next product reads its inputs.
namespace starling::dense::cuda {

/// The lowest bytes of four words.
__device__ __forceinline__ std::uint32_t low_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

/// Four codes side by side, each in the codes of another quantiser.
__device__ __forceinline__ std::uint32_t requantized(std::uint32_t codes, const Requantizer& to) {
  std::uint32_t code[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) code[i] = codes >> 8 * i & 0xff;
  if (to.factor > 0.f) {
    const auto highest = static_cast<float>(to.grid.highest);
#pragma unroll
    for (int i = 0; i < 4; ++i) code[i] = whole_bits(part_of(static_cast<float>(code[i]), to.factor), highest);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      code[i] = static_cast<std::uint32_t>(code_of(value_of(static_cast<std::int32_t>(code[i]), to.scale), to.grid));
  }
  return low_bytes(code[0], code[1], code[2], code[3]);
}

/// The codes of the 16 rows of a warp: fragments A of integer_mma.cuh. In memory the columns of a row stand as
/// code_index() (codes.h) says.
template <int kSixteens>
struct TileCodes {
  static constexpr int kColumns = 16 * kSixteens;

  std::uint32_t words[kSixteens][2];

  /// Rows of codes; those from `count` on are zeros.
  __device__ __forceinline__ void load(const std::uint8_t* rows, int count) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = static_cast<int>(threadIdx.x % 32 / 4) + 8 * half;
      const auto* const from = reinterpret_cast<const std::uint32_t*>(rows + std::int64_t{r} * kColumns);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) words[k][half] = r < count ? from[4 * k + threadIdx.x % 4] : 0;
    }
  }

  __device__ __forceinline__ void store(std::uint8_t* rows, int count) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = static_cast<int>(threadIdx.x % 32 / 4) + 8 * half;
      if (r >= count) continue;
      auto* const to = reinterpret_cast<std::uint32_t*>(rows + std::int64_t{r} * kColumns);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) to[4 * k + threadIdx.x % 4] = words[k][half];
    }
  }

  __device__ __forceinline__ TileCodes read_by(const Requantizer& reader) const {
    TileCodes result;
#pragma unroll
    for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
      for (int half = 0; half < 2; ++half) result.words[k][half] = requantized(words[k][half], reader);
    }
    return result;
  }
};

/// The outputs of a layer for the rows of a warp.
template <int kSixteens>
struct IntegerTile {
  static constexpr int kColumns = 16 * kSixteens, kRows = 16, kTiles = 2 * kSixteens;
  static constexpr int kMatrix = kColumns * kColumns / 16;  ///< vectors of 16 bytes
  using Codes = TileCodes<kSixteens>;

  std::int32_t sum[kTiles][4];  ///< see integer_mma.cuh; sums wrap around on their way, as they may

  static __device__ int lane() { return static_cast<int>(threadIdx.x % 32); }
  /// The rows of a thread are row() and row() + 8; its columns 8 j + first_column() and the next, for all j.
  static __device__ int row() { return lane() / 4; }
  static __device__ int first_column() { return lane() % 4 * 2; }

  /// Outputs begin at `start` [columns], at 0 where it is null.
  __device__ __forceinline__ void begin(const std::int32_t* start) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const int2 two =
          start != nullptr ? *reinterpret_cast<const int2*>(start + 8 * j + first_column()) : make_int2(0, 0);
      sum[j][0] = sum[j][2] = two.x;
      sum[j][1] = sum[j][3] = two.y;
    }
  }

  /// Outputs begin at row src[half] of one array of rows of sums plus row dst[half] of another, for row() + 8 half; at
  /// 0 where src[half] is negative. Columns stand as code_index() says.
  __device__ __forceinline__ void begin_gathered(const std::int32_t* by_src, const std::int32_t* by_dst,
                                                 const std::int32_t (&src)[2], const std::int32_t (&dst)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const bool there = src[half] >= 0;
      const auto at = [&](const std::int32_t* rows, std::int32_t i) {
        return reinterpret_cast<const int4*>(rows + std::int64_t{i} * kColumns) + lane() % 4;
      };
      const int4 *const from = at(by_src, src[half]), *const to = at(by_dst, dst[half]);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const int4 a = there ? from[4 * k] : make_int4(0, 0, 0, 0), b = there ? to[4 * k] : make_int4(0, 0, 0, 0);
        sum[2 * k][2 * half] = a.x + b.x;
        sum[2 * k][2 * half + 1] = a.y + b.y;
        sum[2 * k + 1][2 * half] = a.z + b.z;
        sum[2 * k + 1][2 * half + 1] = a.w + b.w;
      }
    }
  }

  /// Rows of sums as begin_gathered() reads them.
  __device__ __forceinline__ void store(std::int32_t* rows, int count) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      if (r >= count) continue;
      int4* const to = reinterpret_cast<int4*>(rows + std::int64_t{r} * kColumns) + lane() % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        to[4 * k] = make_int4(sum[2 * k][2 * half], sum[2 * k][2 * half + 1], sum[2 * k + 1][2 * half],
                              sum[2 * k + 1][2 * half + 1]);
      }
    }
  }

  /// Adds codes · matrix, which is packed as matrix_index() (codes.h) says.
  __device__ __forceinline__ void multiply(const Codes& codes, const uint4* matrix) {
    __syncwarp();  // single lanes may have settled codes
#pragma unroll
    for (int pair = 0; pair < kSixteens / 2; ++pair) {
#pragma unroll
      for (int n = 0; n < kSixteens; ++n) {
        const uint4 b = matrix[(pair * kSixteens + n) * 32 + lane()];
        starling::cuda::multiply_add(sum[2 * n], codes.words[2 * pair], codes.words[2 * pair + 1], b.x, b.y);
        starling::cuda::multiply_add(sum[2 * n + 1], codes.words[2 * pair], codes.words[2 * pair + 1], b.z, b.w);
      }
    }
    if constexpr (kSixteens % 2 == 1) {
      const auto* const rest = reinterpret_cast<const uint2*>(matrix + kSixteens / 2 * kSixteens * 32);
#pragma unroll
      for (int n = 0; n < kSixteens; ++n) {
        const uint2 b = rest[n * 32 + lane()];
        starling::cuda::multiply_add(sum[2 * n], codes.words[kSixteens - 1], b.x);
        starling::cuda::multiply_add(sum[2 * n + 1], codes.words[kSixteens - 1], b.y);
      }
    }
  }

  /// Adds the products of `inputs` features in codes of the grid, of any bits: rows places[0 .. count − 1] of an array,
  /// times weights [inputs, kColumns], whose columns stand as code_index() says.
  __device__ void multiply_features(const float* features, const std::int32_t* places, int count, int inputs,
                                    const CodeGrid& grid, const std::int32_t* weights) {
    const float* rows[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row() + 8 * half;
      rows[half] = r < count ? features + std::int64_t{places[r]} * inputs : nullptr;
    }
#pragma unroll 1
    for (int i = 0; i < inputs; ++i) {
      std::int32_t code[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) code[half] = rows[half] != nullptr ? code_of(rows[half][i], grid) : 0;
      const int4* const weight = reinterpret_cast<const int4*>(weights + std::int64_t{i} * kColumns) + lane() % 4;
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const int4 w = weight[4 * k];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          sum[2 * k][2 * half] += code[half] * w.x;
          sum[2 * k][2 * half + 1] += code[half] * w.y;
          sum[2 * k + 1][2 * half] += code[half] * w.z;
          sum[2 * k + 1][2 * half + 1] += code[half] * w.w;
        }
      }
    }
  }

  /// The sum of row() + 8 half in codes times one weight per column, on top of `start`: in all threads of the quad.
  __device__ __forceinline__ static std::int32_t product(const Codes& codes, const std::uint32_t* weights,
                                                         std::int32_t start, int half) {
    std::int32_t result = 0;
#pragma unroll
    for (int k = 0; k < kSixteens; ++k)
      result = starling::cuda::multiply_four(codes.words[k][half], weights[4 * k + lane() % 4], result);
    return start + quad_sum(result);
  }

  /// Sums to the codes of a ReLU's quantiser; those of columns behind the width are of no account. All threads of the
  /// warp call it.
  ///
  /// The fast form finds an interval that holds the exact value. Where both ends have one code, that is the code:
  /// fast_form() (codes.h) says how wide it is. For the others the definition decides.
  __device__ __forceinline__ void quantize(const QuantizeSums& q, Codes& codes) {
    if (q.ratio != nullptr) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sum[j][i] = static_cast<std::int32_t>(rescaled(sum[j][i], q.ratio[8 * j + first_column() + i % 2]));
      }
    }
    float part[kTiles][4];  // of the highest code
    std::int32_t total[2] = {0, 0};
    if (q.normalise) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) total[i / 2] += sum[j][i];
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) total[half] = quad_sum(total[half]);
      if (q.wide) {
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) part[j][i] = static_cast<float>(std::int64_t{q.width} * sum[j][i] - total[i / 2]);
        }
      } else {
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) part[j][i] = static_cast<float>(q.width * sum[j][i] - total[i / 2]);
        }
      }
      if (q.width != kColumns) {
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) part[j][i] = is_padding(q, j, i) ? 0.f : part[j][i];
        }
      }
      float squares[2] = {0.f, 0.f};
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) squares[i / 2] = __fmaf_rn(part[j][i], part[j][i], squares[i / 2]);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        squares[half] = quad_sum(squares[half]);
        const float factor = q.step * rsqrtf(__fmaf_rn(squares[half], q.share, q.float_floor));
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i) part[j][i] = part_of(part[j][i], factor);
        }
      }
    } else {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const float2 factor = *reinterpret_cast<const float2*>(q.factor + 8 * j + first_column());
#pragma unroll
        for (int i = 0; i < 4; ++i)
          part[j][i] = part_of(static_cast<float>(sum[j][i]), i % 2 == 0 ? factor.x : factor.y);
      }
    }
    std::uint32_t differ = q.bounded ? 0 : 1;
#pragma unroll
    for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t code[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float value = part[2 * k + i / 2][2 * half + i % 2];
          code[i] = whole_bits(value, q.highest);
          differ |= code[i] ^ whole_bits(value, q.beyond);
        }
        codes.words[k][half] = low_bytes(code[0], code[1], code[2], code[3]);
      }
    }
    if (__any_sync(starling::cuda::kWarp, differ != 0)) settle(q, part, total, codes);
  }

 private:
  static __device__ bool is_padding(const QuantizeSums& q, int j, int i) {
    return 8 * j + first_column() + i % 2 >= q.width;
  }

  template <typename T>
  static __device__ __forceinline__ T quad_sum(T value) {
    value += __shfl_xor_sync(starling::cuda::kWarp, value, 1);
    return value + __shfl_xor_sync(starling::cuda::kWarp, value, 2);
  }

  /// Codes by the definition, where the fast form has not found them. `total`: sums of rows, if they are normalised.
  __device__ void settle(const QuantizeSums& q, const float (&part)[kTiles][4], const std::int32_t (&total)[2],
                         Codes& codes) const {
    IntegerMoments moments[2];
    double deviation[2] = {1., 1.};
    if (q.normalise) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        IntegerMoments& row = moments[half];
        row = {q.width, 0, 0};
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            if (!is_padding(q, j, i)) add_to(row, sum[j][i]);
          }
        }
        row.sum = quad_sum(row.sum);
        row.squares = quad_sum_of_squares(row.squares);
        deviation[half] = integer_deviation(row, q.floor);
      }
    }
    std::uint64_t open = 0;  // a bit per code
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!q.bounded || whole_bits(part[j][i], q.highest) != whole_bits(part[j][i], q.beyond))
          open |= std::uint64_t{1} << (4 * j + i);
      }
    }
    while (open != 0) {
      const int at = __ffsll(static_cast<long long>(open)) - 1;
      open &= open - 1;
      const int half = at / 2 % 2;
      std::int32_t a = 0;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) a = at == 4 * j + i ? sum[j][i] : a;
      }
      float value = 0.f;
      if (q.normalise) {
        value = static_cast<float>(difference_from_mean(half == 0 ? moments[0] : moments[1], a) /
                                   (half == 0 ? deviation[0] : deviation[1]));
      } else {
        value = value_of(a, q.scale[8 * (at / 4) + first_column() + at % 2]);
      }
      const auto code = static_cast<std::uint32_t>(code_of(value, q.grid));
      const int shift = 8 * (at / 4 % 2 * 2 + at % 2);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          std::uint32_t& word = codes.words[k][h];
          if (at / 8 == k && half == h) word = (word & ~(0xffu << shift)) | code << shift;
        }
      }
    }
  }

  static __device__ __int128 quad_sum_of_squares(__int128 squares) {
#pragma unroll
    for (int step = 1; step <= 2; step *= 2) {
      const auto low = static_cast<std::uint64_t>(squares), high = static_cast<std::uint64_t>(squares >> 64);
      const unsigned long long other_low =
          __shfl_xor_sync(starling::cuda::kWarp, static_cast<unsigned long long>(low), step);
      const unsigned long long other_high =
          __shfl_xor_sync(starling::cuda::kWarp, static_cast<unsigned long long>(high), step);
      squares += static_cast<__int128>(static_cast<unsigned __int128>(other_high) << 64 | other_low);
    }
    return squares;
  }
};

}  // namespace starling::dense::cuda
