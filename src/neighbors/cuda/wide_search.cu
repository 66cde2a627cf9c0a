#include "neighbors/cuda/wide_search.cuh"

namespace starling::neighbors::cuda {

template <>
void search_wide(const Wide<float>& wide, cudaStream_t stream) {
  if (wide.num_queries == 0) return;
  const bool many = wide.num_queries >= kManyQueries;
  if (wide.chunks > 1)
    many ? launch_wide<float, 2, kMostSteps, true>(wide, stream)
         : launch_wide<float, 1, kMostSteps, true>(wide, stream);
  else if (wide.steps == kMostSteps)
    many ? launch_wide<float, 2, kMostSteps, false>(wide, stream)
         : launch_wide<float, 1, kMostSteps, true>(wide, stream);
  else if (!many)
    launch_wide<float, 1, 4, false>(wide, stream);
  else if (wide.steps == 4)
    launch_wide<float, 4, 4, false>(wide, stream);
  else if (wide.steps == 2)
    launch_wide<float, 4, 2, false>(wide, stream);
  else
    launch_wide<float, 4, 1, false>(wide, stream);
}

template <>
void search_wide(const Wide<double>& wide, cudaStream_t stream) {
  if (wide.num_queries == 0) return;
  if (wide.steps == kMostSteps)
    launch_wide<double, 1, kMostSteps, true>(wide, stream);
  else
    launch_wide<double, 1, 4, false>(wide, stream);
}

}  // namespace starling::neighbors::cuda
