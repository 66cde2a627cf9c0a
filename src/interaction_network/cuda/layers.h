#pragma once

#include "interaction_network/cuda/order.h"

// One layer over all rows at a time: for batch normalisation, which needs all rows of a layer before the next, and for
// networks that are too wide for the registers of one kernel.
namespace starling::interaction_network::cuda {

/// Columns of the inputs of a layer.
struct Part {
  const float* data = nullptr;
  std::int64_t stride = 0;
  int width = 0;
  const std::int32_t* rows = nullptr;  ///< the row of `data` for each row; null = the same
};

struct LayerPass {
  Part parts[4];
  int num_parts = 0;
  /// Where the layer before had batch normalisation: the inputs are max(0, fma(value, scale, shift)), by column.
  const float *scale = nullptr, *shift = nullptr;
  const float* row_scale = nullptr;  ///< where it had layer normalisation: [rows] its factor
  const float* weights = nullptr;    ///< panels of at most 128 columns, each [weight_rows, columns]
  int weight_rows = 0;
  int columns = 0;                                   ///< of a row of outputs
  const float* bias = nullptr;                       ///< [columns]; null = none
  const float *by_src = nullptr, *by_dst = nullptr;  ///< [rows, columns], gathered by src and dst; both or none
  const std::int32_t *src = nullptr, *dst = nullptr;
  float* inverse_deviation = nullptr;  ///< [rows] the factor of layer normalisation over `width` outputs, else null
  int width = 0;
  bool relu = false;
  float* out = nullptr;  ///< [rows, columns], none of the inputs; null: column 0 goes to logits[edge[row]]
  float* logits = nullptr;
  const std::int32_t* edge = nullptr;
  const std::int32_t* rows = nullptr;  ///< one element in device memory: the number of rows
  std::int32_t capacity = 0;
};

void run(const LayerPass& pass, CUstream_st* stream);

/// Batch normalisation of the rows of an array as a factor and a shift per column. Means and squared differences are
/// merged as on the host: tiles of tile_rows(width) rows, chunks of tiles, then all chunks.
struct MomentsPass {
  const float* data;
  int width, columns;
  const std::int32_t* rows;
  std::int32_t capacity;
  double* chunks;  ///< [chunks, 2, columns]
  const float *norm_weight, *norm_bias;
  float *scale, *shift;  ///< [columns]
};
/// Chunks of so many rows.
std::int64_t moment_chunks(std::int64_t rows, int width);
void run(const MomentsPass& pass, CUstream_st* stream);

}  // namespace starling::interaction_network::cuda
