#pragma once

#include "dense/integer_arithmetic.h"
#include "interaction_network/cuda/order.h"
#include "starling/dense.h"

// One layer over all rows at a time, in plain integers: for batch normalisation, which needs all rows of a layer before
// the next, for codes of more than 8 bits, sums of more than 32 bits, and networks wider than a tile.
namespace starling::quantized_network::cuda {

/// One element in device memory: the number of rows; and the most that there can be.
struct RowCount {
  const std::int32_t* rows = nullptr;
  std::int32_t capacity = 0;
};

/// Columns of what a layer reads: codes, or features, which the grid makes codes of.
struct LayerPart {
  const std::int32_t* codes = nullptr;  ///< [places, width]; null = features
  const float* features = nullptr;
  int width = 0;
  const std::int32_t* places = nullptr;  ///< the row of the array for each row; null = the same
  bool requantizes = false;              ///< codes of states, of the scale, become codes of the grid
  float scale = 1.f;
  dense::CodeGrid grid;
};

/// Exact sums of a column: the sum, and limbs of 32 bits of the sum of squares, each with room for its own sum.
struct ColumnMoments {
  unsigned long long sum, squares[4];
};

/// sums = W codes + bias.
struct ProductPass {
  RowCount count;
  LayerPart parts[6];
  int num_parts = 0;
  const std::int16_t* weights = nullptr;  ///< [out, in]
  const std::int32_t* bias = nullptr;     ///< [out], or null
  int in = 0, out = 0;
  std::int64_t* sums = nullptr;      ///< [rows, out]
  ColumnMoments* moments = nullptr;  ///< [out] set to 0 for the pass that follows, or null
};
void run(const ProductPass& pass, CUstream_st* stream);

/// Adds the rows of sums to the moments of their columns.
struct MomentsPass {
  RowCount count;
  const std::int64_t* sums = nullptr;
  int width = 0;
  ColumnMoments* moments = nullptr;
};
void run(const MomentsPass& pass, CUstream_st* stream);

/// Sums to the codes of a ReLU's quantiser.
struct QuantizePass {
  RowCount count;
  std::int64_t* sums = nullptr;  ///< with `ratio` they are rescaled where they lie
  int width = 0;
  Norm norm = Norm::none;
  dense::CodeGrid grid;
  const float* scale = nullptr;   ///< [width] of the sums
  const double* ratio = nullptr;  ///< [width] of rescaled(), or null
  double floor = 0.;              ///< of layer normalisation
  const ColumnMoments* moments = nullptr;
  const float *norm_weight = nullptr, *norm_bias = nullptr;  ///< [width]
  std::int32_t* codes = nullptr;                             ///< [rows, width]
};
void run(const QuantizePass& pass, CUstream_st* stream);

/// Codes, for the nodes' network, of the sums of the codes of the edges into each row and out of it.
struct SumsPass {
  RowCount count;
  const std::int32_t* messages = nullptr;  ///< [E, width]
  int width = 0;
  float scale = 1.f;
  dense::CodeGrid grid;
  const std::uint32_t *in_splits = nullptr, *in_edges = nullptr, *out_splits = nullptr;
  std::int32_t *in = nullptr, *out = nullptr;  ///< [rows, width]
};
void run(const SumsPass& pass, CUstream_st* stream);

/// logits[edge[row]] = the value of the one sum of a row.
struct LogitsPass {
  RowCount count;
  const std::int64_t* sums = nullptr;
  float scale = 1.f;
  const std::int32_t* edge = nullptr;
  float* logits = nullptr;
};
void run(const LogitsPass& pass, CUstream_st* stream);

}  // namespace starling::quantized_network::cuda
