#include "neighbors/backends.h"
#include "starling/device.h"

// A build without CUDA: each function says so.
namespace starling::neighbors::cuda {

template <typename T>
std::size_t search_workspace_bytes(const NeighborSearch<T>&) {
  require_cuda();
  return 0;
}
template <typename T>
void knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>, const Execution&) {
  require_cuda();
}
template <typename T>
void radius_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*, std::span<std::byte>,
                  const Execution&) {
  require_cuda();
}
template <typename T>
void radius_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>,
                 const Execution&) {
  require_cuda();
}
template <typename T>
std::size_t gradient_workspace_bytes(const NeighborLists<T>&) {
  require_cuda();
  return 0;
}
template <typename T>
void distance_gradient(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>, const Execution&) {
  require_cuda();
}
template <typename T>
void distance_tangent(const NeighborLists<T>&, const T*, const T*, T*, const Execution&) {
  require_cuda();
}

#define STARLING_INSTANTIATE(T)                                                                                       \
  template std::size_t search_workspace_bytes(const NeighborSearch<T>&);                                              \
  template void knn(const NeighborSearch<T>&, int, std::int32_t*, T*, std::span<std::byte>, const Execution&);        \
  template void radius_count(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*,                    \
                             std::span<std::byte>, const Execution&);                                                 \
  template void radius_fill(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>,   \
                            const Execution&);                                                                        \
  template std::size_t gradient_workspace_bytes(const NeighborLists<T>&);                                             \
  template void distance_gradient(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>, const Execution&); \
  template void distance_tangent(const NeighborLists<T>&, const T*, const T*, T*, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::cuda
