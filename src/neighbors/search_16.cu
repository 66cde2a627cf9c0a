#include "neighbors/launch.cuh"

namespace starling::neighbors_cuda {

STARLING_INSTANTIATE_SEARCH(16);

}  // namespace starling::neighbors_cuda
