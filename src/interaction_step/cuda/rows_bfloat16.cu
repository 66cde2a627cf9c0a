#include "interaction_step/cuda/rows.cuh"

namespace starling::interactionstep::cuda {

template struct RowKernels<Product::bfloat16, 4>;
template struct RowKernels<Product::bfloat16, 6>;
template struct RowKernels<Product::bfloat16, 8>;
template struct RowKernels<Product::bfloat16, 12>;
template struct RowKernels<Product::bfloat16, 16>;

}  // namespace starling::interactionstep::cuda
