#include "neighbors/launch.cuh"

namespace starling::neighbors_cuda {

template void launch_nearest<float, 10>(const Search<float>&, int, cudaStream_t);
template void launch_nearest<double, 10>(const Search<double>&, int, cudaStream_t);
template void launch_count<float, 10>(const Search<float>&, cudaStream_t);
template void launch_count<double, 10>(const Search<double>&, cudaStream_t);

}  // namespace starling::neighbors_cuda
