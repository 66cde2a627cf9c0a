#pragma once

#include "interaction_network/cuda/order.h"

// The fused passes over edges and nodes of a network of at most kMostFused columns without batch normalisation.
namespace starling::interaction_network::cuda {

/// A network's arrays in device memory. Rows of states are row_columns(H) numbers of type T; columns beyond H are
/// zeros. Between the edges' pass of a step and the nodes', `by_src` and `by_dst` hold the sums of messages into and
/// out of the rows.
template <typename T>
struct States {
  T *x, *x0, *by_src, *by_dst;  ///< [rows]
  T *e, *e0;                    ///< [E]
};

/// Layers of a pass in device memory.
struct Biases {
  const float* layer[3];  ///< null = none
};

template <typename T>
struct EdgePass {
  const T* weights;
  int weight_rows;
  bool encode, read_encoded, store_encoded, decode;
  Biases encoder, update, decoder;
  const float *output_hidden_bias, *output, *output_bias;
  const float* features;  ///< [E, inputs] in the graph's order
  int inputs;
  int width;  ///< H
  bool normalise;
  States<T> states;
  const std::int32_t *edge, *src, *dst;
  const Counts* counts;
  std::int32_t capacity;
  float* logits;
};

template <typename T>
struct NodePass {
  const T* weights;
  int weight_rows;
  bool encode, read_encoded, project_encoded;
  Biases layers;
  const float* by_src_bias;
  const float* features;  ///< [N, inputs]
  int inputs;
  int width;
  bool normalise;
  States<T> states;
  const std::int32_t* node;
  const std::uint32_t *out_splits, *in_splits;  ///< rows that no edge reaches, or leaves, skip what nothing reads
  const Counts* counts;
  std::int32_t capacity;
};

void run(const EdgePass<float>& pass, CUstream_st* stream);
void run(const NodePass<float>& pass, CUstream_st* stream);

/// Sums of the messages of the edges into each row and out of it, in float, added one by one in the order of the edges.
/// Sums of messages beyond the largest number of type T are cut to it. Rows are of `columns` numbers.
template <typename T>
void sum_messages(const T* e, int columns, const DeviceOrder& order, std::int32_t num_nodes, T* in, T* out,
                  CUstream_st* stream);

}  // namespace starling::interaction_network::cuda
