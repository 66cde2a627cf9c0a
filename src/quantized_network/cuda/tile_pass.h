#pragma once

#include "dense/cuda/codes.h"
#include "interaction_network/cuda/order.h"

// Passes over the edges or nodes of a network whose codes have 8 bits: tiles of 16 rows go through layer after layer.
namespace starling::quantized_network::cuda {

/// Columns of rows of `hidden` codes or sums in device memory, padding included: 32, 48, 64 or 128. They stand as
/// code_index() of dense/cuda/codes.h says.
int tile_columns(int hidden);

inline constexpr int kMostTiled = 128;

/// Codes that a layer reads, and that its next matrix multiplies.
struct TilePart {
  const std::uint8_t* rows = nullptr;  ///< null: the codes that the layer before left
  bool requantizes = false;
  dense::cuda::Requantizer reader;
};

struct TileLayer {
  // Sums begin at `start` [columns] (null: at 0) or, with by_src, at rows of sums that edges gather from their nodes.
  const std::int32_t* start = nullptr;
  const std::int32_t *by_src = nullptr, *by_dst = nullptr;
  // Features in place of codes.
  const float* features = nullptr;        ///< [places, inputs]
  const std::int32_t* places = nullptr;   ///< [rows] which of them
  const std::int32_t* weights = nullptr;  ///< [inputs, columns], columns as code_index() says
  std::int32_t inputs = 0;
  dense::CodeGrid grid;

  std::int32_t num_parts = 0;
  TilePart parts[4];

  std::int32_t* sums = nullptr;  ///< where rows of sums go; null: they become codes
  dense::cuda::QuantizeSums quantize;
  std::uint8_t* codes = nullptr;  ///< where rows of codes go, if anywhere; may be what a part reads
};

struct TilePass {
  const std::uint8_t* matrices = nullptr;  ///< of all layers, part by part: packed as matrix_index() says
  std::int32_t num_matrices = 0;
  std::int32_t columns = 0;
  std::int32_t num_layers = 0;
  TileLayer layers[10];
  const std::int32_t* rows = nullptr;  ///< one element: how many
  std::int32_t capacity = 0;
  const std::int32_t *src = nullptr, *dst = nullptr;  ///< [rows] what edges gather

  // A product with one output per row follows, where there are logits.
  const std::uint32_t* output_weights = nullptr;  ///< [columns / 4] four weights each, columns as code_index() says
  std::int32_t output_start = 0;
  float output_scale = 1.f;
  const std::int32_t* edge = nullptr;  ///< [rows] place of the logit
  float* logits = nullptr;
};

/// Throws ErrorKind::device where the matrices are more than the shared memory of a block holds.
void run(const TilePass& pass, CUstream_st* stream);

/// Codes, for the nodes' network, of the sums of the codes of the edges into each row and out of it.
struct TileSums {
  const std::uint8_t* messages = nullptr;  ///< [E, columns]
  std::int32_t columns = 0;
  float scale = 1.f;
  dense::CodeGrid grid;
  std::uint8_t *in = nullptr, *out = nullptr;  ///< [rows, columns]
};
void run(const TileSums& pass, const interaction_network::cuda::DeviceOrder& order, std::int32_t num_nodes,
         CUstream_st* stream);

}  // namespace starling::quantized_network::cuda
