#include "neighbors/cuda/launch_search.cuh"

namespace starling::neighbors::cuda {

STARLING_INSTANTIATE_SEARCH(8);

}  // namespace starling::neighbors::cuda
