#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "interaction_network/cuda/passes.h"

// The passes with states and matrices of 16 bits. Where the matrices of a pass are more than a block's shared memory
// holds, its two parts are launched by themselves.
namespace starling::interaction_network::cuda {

/// Matrices stand as block_index() says, states as state_index() says.
template <typename T>
struct TensorEdgePass : EdgePass<T> {
  const float* feature_weights;  ///< [inputs, columns], of the encoder's first layer, which is in float
  bool runs_step;                ///< the first part: encoder and step; the second part is the decoder
};

template <typename T>
struct TensorNodePass : NodePass<T> {
  const float* feature_weights;
  bool runs_layers, projects;  ///< the parts
};

void run(const TensorEdgePass<__half>& pass, CUstream_st* stream);
void run(const TensorNodePass<__half>& pass, CUstream_st* stream);
void run(const TensorEdgePass<__nv_bfloat16>& pass, CUstream_st* stream);
void run(const TensorNodePass<__nv_bfloat16>& pass, CUstream_st* stream);

}  // namespace starling::interaction_network::cuda
