#pragma once

#include <cstddef>
#include <cstdint>

/// The arithmetic of dense layers in float on a tile of rows, once per instruction level, with the same bytes at every
/// level (docs/network.md, Arithmetic). This header and the files that implement it include nothing else: an inline
/// function compiled with instruction-set flags must not be what the rest of the program links.
namespace starling::dense {

/// Columns `width` of rows that lie `stride` floats apart. No data = zeros.
struct Rows {
  const float* data;
  std::ptrdiff_t stride;
  int width;
};

/// Rows of `columns` floats that the next product will gather: this product fetches them into the cache.
struct Ahead {
  const float* data = nullptr;
  const std::int32_t* rows = nullptr;
  int count = 0, columns = 0;
};

inline constexpr int kMostParts = 4;

/// Partial sums of the squares of a row: column c is added to sum c % kPartialSums.
inline constexpr int kPartialSums = 16;

/// out = W [inputs side by side] and what follows the product while it is in registers: row_scale, bias, gathered rows,
/// squares, ReLU, in this order. Every value is computed by the same operations in the same order wherever it stands in
/// a tile and at every level.
struct Product {
  Rows inputs[kMostParts];
  int num_inputs;
  int rows;
  const float* weights;  ///< packed: see panel_vectors
  int columns;           ///< of out, a multiple of the vector width
  const float* row_scale = nullptr;
  const float* bias = nullptr;  ///< [columns]
  const float* by_src = nullptr;
  const float* by_dst = nullptr;  ///< rows of `columns` floats, gathered by src and dst; both or none
  const std::int32_t* src = nullptr;
  const std::int32_t* dst = nullptr;
  /// [rows], else null: 1 / sqrt(mean of y² over normalised_width + epsilon). With weights whose outputs have mean 0
  /// (see FloatPacker) this is what LayerNorm multiplies by.
  float* inverse_deviation = nullptr;
  float* squares = nullptr;  ///< [rows, kPartialSums], scratch for inverse_deviation
  int normalised_width = 0;
  float epsilon = 0.f;
  bool relu = false;
  Ahead ahead;
  float* out;  ///< may not be one of the inputs
  std::ptrdiff_t out_stride;
};

/// out[t] = the sum, in order, of the rows that edges[splits[t]] .. edges[splits[t + 1] - 1] name; no list = the rows
/// splits[t] .. splits[t + 1] - 1 themselves.
struct RowSums {
  const float* data;
  const std::int32_t* splits;  ///< [rows + 1]
  const std::int32_t* edges;
  int rows, columns;
  float* out;  ///< [rows, columns]
};

struct FloatKernels {
  int width;          ///< floats in a vector; rows are padded to a multiple
  int panel_vectors;  ///< most vectors in a panel of packed weights
  void (*product)(const Product&);
  void (*sum_rows)(const RowSums&);
  /// mean[c] and m2[c] = sum of squared differences from it, over the rows of a tile.
  void (*moments)(const float* data, int rows, int columns, float* mean, float* m2);
  /// out = max(0, data * scale + shift), scale and shift by column.
  void (*scale_shift_relu)(const float* data, int rows, int columns, const float* scale, const float* shift,
                           float* out);
};

extern const FloatKernels kFloatReference, kFloatAvx2, kFloatAvx512;

/// Packed weights are panels of columns, one behind the other: panel_vectors() vectors for each input column in turn.
/// A panel begins at a multiple of kPartialSums columns.
static inline int panel_vectors(int vectors_left, int most) {
  if (vectors_left == 4 && most == 3) return 2;  // two panels of 2, not 3 and 1
  return vectors_left < most ? vectors_left : most;
}

}  // namespace starling::dense
