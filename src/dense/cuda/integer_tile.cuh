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

/// a · b + c rounded once, from 0 to 1; NaN gives 0.
__device__ __forceinline__ float part_of(float a, float b, float c) {
  float result;
  asm("fma.rn.sat.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(a), "f"(b), "f"(c));
  return result;
}

/// Four codes side by side, each in the codes of another quantiser, by its factor.
__device__ __forceinline__ std::uint32_t requantized(std::uint32_t codes, float factor, float highest) {
  constexpr float kBytes = 8388608.f;  // 2^23: bits of floats from there on end with the whole number
  std::uint32_t code[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float shifted = __uint_as_float(__byte_perm(codes, __float_as_uint(kBytes), 0x7440 + i));
    code[i] = whole_bits(part_of(shifted, factor, -kBytes * factor), highest);
  }
  return low_bytes(code[0], code[1], code[2], code[3]);
}
/// The same by the definition.
__device__ __forceinline__ std::uint32_t requantized(std::uint32_t codes, const Requantizer& to) {
  std::uint32_t code[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    code[i] = static_cast<std::uint32_t>(code_of(value_of(codes >> 8 * i & 0xff, to.scale), to.grid));
  return low_bytes(code[0], code[1], code[2], code[3]);
}

/// The rows of a thread, those of its quad: row lane / 4 of a tile of 16 and the one 8 below. In place of rows behind
/// the last one stands that.
struct TileRows {
  std::uint32_t row[2];
  bool there[2];

  __device__ __forceinline__ TileRows(std::uint32_t first, std::uint32_t rows) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      row[half] = first + threadIdx.x % 32 / 4 + 8 * half;
      there[half] = row[half] < rows;
      row[half] = min(row[half], rows - 1);
    }
  }
};

/// The codes of the 16 rows of a warp: fragments A of integer_mma.cuh. In memory the columns of a row stand as
/// code_index() (codes.h) says.
template <int kSixteens>
struct TileCodes {
  static constexpr int kColumns = 16 * kSixteens;

  std::uint32_t words[kSixteens][2];

  __device__ __forceinline__ void load(const std::uint8_t* codes, const TileRows& rows) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto* const from = reinterpret_cast<const std::uint32_t*>(codes + std::size_t{rows.row[half]} * kColumns);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) words[k][half] = from[4 * k + threadIdx.x % 4];
    }
  }

  __device__ __forceinline__ void store(std::uint8_t* codes, const TileRows& rows) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (!rows.there[half]) continue;
      auto* const to = reinterpret_cast<std::uint32_t*>(codes + std::size_t{rows.row[half]} * kColumns);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) to[4 * k + threadIdx.x % 4] = words[k][half];
    }
  }

  __device__ __forceinline__ void requantize(const Requantizer& reader) {
    if (reader.factor > 0.f) [[likely]] {
      const auto highest = static_cast<float>(reader.grid.highest);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
        for (int half = 0; half < 2; ++half) words[k][half] = requantized(words[k][half], reader.factor, highest);
      }
      return;
    }
    // Word after word moves up and round, so that few instructions stand here.
#pragma unroll 1
    for (int n = 0; n < 2 * kSixteens; ++n) {
      const std::uint32_t word = requantized(words[0][0], reader);
#pragma unroll
      for (int i = 0; i + 1 < 2 * kSixteens; ++i) words[i / 2][i % 2] = words[(i + 1) / 2][(i + 1) % 2];
      words[kSixteens - 1][1] = word;
    }
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

  /// Outputs begin at row src[half] of one array of rows of sums plus row dst[half] of another, for row() + 8 half.
  /// Columns stand as code_index() says.
  __device__ __forceinline__ void begin_gathered(const std::int32_t* by_src, const std::int32_t* by_dst,
                                                 const std::int32_t (&src)[2], const std::int32_t (&dst)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto at = [&](const std::int32_t* rows, std::int32_t i) {
        return reinterpret_cast<const int4*>(rows + std::int64_t{i} * kColumns) + lane() % 4;
      };
      const int4 *const from = at(by_src, src[half]), *const to = at(by_dst, dst[half]);
#pragma unroll
      for (int k = 0; k < kSixteens; ++k) {
        const int4 a = from[4 * k], b = to[4 * k];
        sum[2 * k][2 * half] = a.x + b.x;
        sum[2 * k][2 * half + 1] = a.y + b.y;
        sum[2 * k + 1][2 * half] = a.z + b.z;
        sum[2 * k + 1][2 * half + 1] = a.w + b.w;
      }
    }
  }

  /// Rows of sums as begin_gathered() reads them.
  __device__ __forceinline__ void store(std::int32_t* sums, const TileRows& rows) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (!rows.there[half]) continue;
      int4* const to = reinterpret_cast<int4*>(sums + std::size_t{rows.row[half]} * kColumns) + lane() % 4;
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

  /// Adds the products of `inputs` features in codes of the grid, of any bits: rows places[..] of an array, times
  /// weights [inputs, kColumns], whose columns stand as code_index() says.
  __device__ void multiply_features(const float* features, const std::int32_t* places, const TileRows& rows, int inputs,
                                    const CodeGrid& grid, const std::int32_t* weights) {
    const float* from[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) from[half] = features + std::int64_t{places[rows.row[half]]} * inputs;
#pragma unroll 1
    for (int i = 0; i < inputs; ++i) {
      std::int32_t code[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) code[half] = code_of(from[half][i], grid);
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
    if (q.ratio != nullptr) [[unlikely]] {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const double ratio = q.ratio[8 * j + first_column() + i % 2];
          sum[j][i] = static_cast<std::int32_t>(rescaled(sum[j][i] - q.shift, ratio)) + q.shift;
        }
      }
    }
    std::int32_t rest[2] = {0, 0};                         // of sums of rows, see fast_form()
    float factor[2] = {0.f, 0.f}, offset[2] = {0.f, 0.f};  // of rows
    std::uint64_t open = 0;                                // a bit per code
    if (q.shift != 0) [[likely]] {
      std::int32_t mean[2];
      take_mean(q, mean, rest);
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sum[j][i] = __float_as_int(__int_as_float(sum[j][i]) - __int_as_float(q.shift + mean[i / 2]));
      }
      const auto difference = [&](int j, int i) { return __int_as_float(sum[j][i]); };
      deviate(q, rest, difference, factor, offset);
      const auto part = [&](int j, int i) { return part_of(difference(j, i), factor[i / 2], offset[i / 2]); };
      if (encode(q, part, codes, open)) [[likely]]
        return;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[j][i] = __float2int_rn(difference(j, i));
      }
    } else {
      const auto difference = [&](int j, int i) { return static_cast<float>(sum[j][i]); };
      if (q.normalise) {
        std::int32_t mean[2];
        take_mean(q, mean, rest);
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sum[j][i] -= mean[i / 2];
        }
        deviate(q, rest, difference, factor, offset);
      }
      const auto part = [&](int j, int i) {
        return part_of(difference(j, i), q.normalise ? factor[i / 2] : q.factor[8 * j + first_column() + i % 2],
                       offset[i / 2]);
      };
      if (encode(q, part, codes, open)) return;
    }
    settle(q, rest, open, codes);
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

  /// The whole numbers next to the means of the rows, and what is left of the sums of the rows without them.
  __device__ __forceinline__ void take_mean(const QuantizeSums& q, std::int32_t (&mean)[2],
                                            std::int32_t (&rest)[2]) const {
    const std::int32_t half_way = 1 << (q.inverse_bits - 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::int32_t total = 0;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) total += sum[j][2 * half] + sum[j][2 * half + 1];
      total = quad_sum(total) - q.width * q.shift;  // padding is 0
      mean[half] = (__mulhi(total, q.inverse) + half_way) >> q.inverse_bits;
      rest[half] = total - q.width * mean[half];
    }
  }

  /// What makes parts of the highest code from differences from `mean` of take_mean(): those of padding become 0.
  template <typename Difference>
  __device__ __forceinline__ void deviate(const QuantizeSums& q, const std::int32_t (&rest)[2],
                                          const Difference& difference, float (&factor)[2], float (&offset)[2]) {
    if (q.width != kColumns) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[j][i] = is_padding(q, j, i) ? 0 : sum[j][i];
      }
    }
    float squares[4] = {0.f, 0.f, 0.f, 0.f};
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) squares[i] = __fmaf_rn(difference(j, i), difference(j, i), squares[i]);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto left = static_cast<float>(rest[half]);
      const float share = left * q.share;
      const float spread = __fmaf_rn(-left, share, quad_sum(squares[2 * half] + squares[2 * half + 1]));
      factor[half] = q.step * rsqrtf(__fmaf_rn(spread, q.share, q.float_floor));
      offset[half] = -share * factor[half];
    }
  }

  /// Codes of parts of the highest one. Whether the fast form has found all of the warp; if not, `open` has bits for
  /// those of the thread that it has not.
  template <typename Part>
  static __device__ __forceinline__ bool encode(const QuantizeSums& q, const Part& part, Codes& codes,
                                                std::uint64_t& open) {
    std::uint32_t differ = q.bounded ? 0 : 1;
#pragma unroll
    for (int k = 0; k < kSixteens; ++k) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t code[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float value = part(2 * k + i / 2, 2 * half + i % 2);
          code[i] = whole_bits(value, q.highest);
          differ |= code[i] ^ whole_bits(value, q.beyond);
        }
        codes.words[k][half] = low_bytes(code[0], code[1], code[2], code[3]);
      }
    }
    if (!__any_sync(starling::cuda::kWarp, differ != 0)) [[likely]]
      return true;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!q.bounded || whole_bits(part(j, i), q.highest) != whole_bits(part(j, i), q.beyond))
          open |= std::uint64_t{1} << (4 * j + i);
      }
    }
    return false;
  }

  /// Codes by the definition, where bits of `open` are set; sums are differences from take_mean()'s mean, where rows
  /// are normalised. Their squares add up to less than 2^64: is_tiled() sees to that.
  __device__ void settle(const QuantizeSums& q, const std::int32_t (&rest)[2], std::uint64_t open, Codes& codes) const {
    double deviation[2] = {1., 1.};
    if (q.normalise) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        unsigned long long squares = 0;
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i)
            squares += static_cast<unsigned long long>(std::int64_t{sum[j][i]} * sum[j][i]);
        }
        const std::int64_t left = rest[half];
        const std::uint64_t spread = quad_sum(squares) * q.width - static_cast<std::uint64_t>(left * left);
        deviation[half] = integer_deviation({1, 0, static_cast<__int128>(spread)}, q.floor);
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
        const std::int64_t difference = std::int64_t{q.width} * a - (half == 0 ? rest[0] : rest[1]);
        value = static_cast<float>(static_cast<double>(difference) / (half == 0 ? deviation[0] : deviation[1]));
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
};

}  // namespace starling::dense::cuda
