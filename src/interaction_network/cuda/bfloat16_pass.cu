#include "interaction_network/cuda/tensor_pass.cuh"

namespace starling::interaction_network::cuda {

void run(const TensorPass<__nv_bfloat16>& pass, cudaStream_t stream) { run_any(pass, stream); }

}  // namespace starling::interaction_network::cuda
