#include "neighbors/launch.cuh"

namespace starling::neighbors_cuda {

template void launch_nearest<float, 8>(const Search<float>&, int, cudaStream_t);
template void launch_nearest<double, 8>(const Search<double>&, int, cudaStream_t);
template void launch_count<float, 8>(const Search<float>&, cudaStream_t);
template void launch_count<double, 8>(const Search<double>&, cudaStream_t);

}  // namespace starling::neighbors_cuda
