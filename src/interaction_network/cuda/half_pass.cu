#include "interaction_network/cuda/tensor_pass.cuh"

namespace starling::interaction_network::cuda {

void run(const TensorPass<__half>& pass, cudaStream_t stream) { run_any(pass, stream); }

}  // namespace starling::interaction_network::cuda
