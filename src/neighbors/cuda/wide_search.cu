#include "neighbors/cuda/wide_search.cuh"

namespace starling::neighbors::cuda {

template <typename T>
void search_wide(const Wide<T>& wide, cudaStream_t stream) {
  if (wide.num_queries == 0) return;
  if (wide.chunks > 1)
    launch_wide<T, 2, kMostSteps, true>(wide, stream);
  else if (wide.steps == 2)
    launch_wide<T, 4, 2, false>(wide, stream);
  else if (wide.steps == 4)
    launch_wide<T, 4, 4, false>(wide, stream);
  else
    launch_wide<T, 2, kMostSteps, false>(wide, stream);
}

template void search_wide(const Wide<float>&, cudaStream_t);
template void search_wide(const Wide<double>&, cudaStream_t);

}  // namespace starling::neighbors::cuda
