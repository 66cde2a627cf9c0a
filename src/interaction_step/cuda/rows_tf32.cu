#include "interaction_step/cuda/rows.cuh"

namespace starling::interactionstep::cuda {

template struct RowKernels<Product::tf32, 4>;
template struct RowKernels<Product::tf32, 6>;
template struct RowKernels<Product::tf32, 8>;
template struct RowKernels<Product::tf32, 12>;
template struct RowKernels<Product::tf32, 16>;

}  // namespace starling::interactionstep::cuda
