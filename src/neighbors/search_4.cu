#include "neighbors/launch.cuh"

namespace starling::neighbors_cuda {

STARLING_INSTANTIATE_SEARCH(4);

}  // namespace starling::neighbors_cuda
