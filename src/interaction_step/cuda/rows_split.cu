#include "interaction_step/cuda/rows.cuh"

namespace starling::interactionstep::cuda {

template struct RowKernels<Product::split>;

}  // namespace starling::interactionstep::cuda
