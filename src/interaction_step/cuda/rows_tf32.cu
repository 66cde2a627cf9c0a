#include "interaction_step/cuda/rows.cuh"

namespace starling::interactionstep::cuda {

template struct RowKernels<Product::tf32>;

}  // namespace starling::interactionstep::cuda
