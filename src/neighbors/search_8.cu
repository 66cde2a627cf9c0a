#include "neighbors/launch.cuh"

namespace starling::neighbors_cuda {

STARLING_INSTANTIATE_SEARCH(8);

}  // namespace starling::neighbors_cuda
