#include "interaction_network/cuda/tensor_pass.cuh"

namespace starling::interaction_network::cuda {

void run(const TensorEdgePass<__half>& pass, cudaStream_t stream) { run_edges(pass, stream); }
void run(const TensorNodePass<__half>& pass, cudaStream_t stream) { run_nodes(pass, stream); }

}  // namespace starling::interaction_network::cuda
