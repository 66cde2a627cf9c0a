#include "neighbors/cuda/launch_search.cuh"

namespace starling::neighbors::cuda {

STARLING_INSTANTIATE_SEARCH(12);

}  // namespace starling::neighbors::cuda
