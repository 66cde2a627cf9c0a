#include "interaction_step/cuda/rows.cuh"

namespace starling::interactionstep::cuda {

template struct RowKernels<Product::bfloat16>;

}  // namespace starling::interactionstep::cuda
