#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

struct CUstream_st;

// A pass over edges or nodes with states of 16 bits and products on tensor cores: a list of layers that one kernel runs
// on 16 rows per warp.
namespace starling::interaction_network::cuda {

/// Inputs of one part of a layer.
template <typename T>
struct TensorPart {
  enum class From { layer_before, rows, sums };
  From from = From::layer_before;
  const T* states = nullptr;                               ///< rows of 16-bit numbers, see state_index()
  const std::uint32_t *splits = nullptr, *list = nullptr;  ///< of sums
};

template <typename T>
struct TensorLayer {
  TensorPart<T> parts[4];
  int num_parts = 0;
  const float* bias = nullptr;  ///< null = none
  bool gathers = false;         ///< adds by_src[src] + by_dst[dst]
  bool normalises = false, relu = true;
  bool gives_logit = false;  ///< the outputs, times the output's column, are the logit
  T* store = nullptr;        ///< where the outputs go beside the next layer; null = nowhere
};

template <typename T>
struct TensorPass {
  static constexpr int kMostLayers = 12;

  const uint4* weights = nullptr;  ///< matrices of the layers' parts, in order, see packed_index()
  int matrices = 0;
  /// The first layer of an encoder, in float: rows `places` of features. Null = the pass has none.
  const float *features = nullptr, *feature_weights = nullptr, *feature_bias = nullptr;
  int inputs = 0;
  const std::int32_t* places = nullptr;
  bool normalises_features = false;

  TensorLayer<T> layers[kMostLayers];
  int num_layers = 0;
  const T *by_src = nullptr, *by_dst = nullptr;
  const std::int32_t *src = nullptr, *dst = nullptr;
  const float *output = nullptr, *output_bias = nullptr;
  float* logits = nullptr;  ///< of the edges `edge`
  const std::int32_t* edge = nullptr;
  int width = 0;
  const std::int32_t* rows = nullptr;  ///< one element in device memory: the number of rows
  std::int32_t capacity = 0;
};

void run(const TensorPass<__half>& pass, CUstream_st* stream);
void run(const TensorPass<__nv_bfloat16>& pass, CUstream_st* stream);

}  // namespace starling::interaction_network::cuda
