#include "interaction_step/cuda/rows.cuh"

namespace starling::interactionstep::cuda {

template struct RowKernels<Product::split, 4>;
template struct RowKernels<Product::split, 6>;
template struct RowKernels<Product::split, 8>;
template struct RowKernels<Product::split, 12>;
template struct RowKernels<Product::split, 16>;

}  // namespace starling::interactionstep::cuda
