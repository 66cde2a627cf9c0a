#include "starling/device.h"
#include "starling/neighbors.h"

namespace starling {

template <typename T>
void knn_cuda(const NeighborSearch<T>&, int, std::int32_t*, T*, std::int32_t*, std::span<std::byte>, CUstream_st*) {
  require_cuda();
}
template <typename T>
std::size_t knn_cuda_workspace_bytes(const NeighborSearch<T>&, int) {
  require_cuda();
  return 0;
}
template <typename T>
void radius_count_cuda(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*, std::int32_t*,
                       std::span<std::byte>, CUstream_st*) {
  require_cuda();
}
template <typename T>
void radius_fill_cuda(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*, std::span<std::byte>,
                      CUstream_st*) {
  require_cuda();
}
template <typename T>
std::size_t radius_cuda_workspace_bytes(const NeighborSearch<T>&) {
  require_cuda();
  return 0;
}
template <typename T>
void distance_gradient_cuda(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>, CUstream_st*) {
  require_cuda();
}
template <typename T>
std::size_t distance_gradient_cuda_workspace_bytes(const NeighborLists<T>&) {
  require_cuda();
  return 0;
}
template <typename T>
void distance_tangent_cuda(const NeighborLists<T>&, const T*, const T*, T*, CUstream_st*) {
  require_cuda();
}

#define STARLING_INSTANTIATE(T)                                                                                        \
  template void knn_cuda(const NeighborSearch<T>&, int, std::int32_t*, T*, std::int32_t*, std::span<std::byte>,        \
                         CUstream_st*);                                                                                \
  template std::size_t knn_cuda_workspace_bytes(const NeighborSearch<T>&, int);                                        \
  template void radius_count_cuda(const NeighborSearch<T>&, std::int32_t, std::int32_t*, std::int32_t*, std::int32_t*, \
                                  std::span<std::byte>, CUstream_st*);                                                 \
  template void radius_fill_cuda(const NeighborSearch<T>&, const std::int64_t*, std::int32_t*, T*,                     \
                                 std::span<std::byte>, CUstream_st*);                                                  \
  template std::size_t radius_cuda_workspace_bytes(const NeighborSearch<T>&);                                          \
  template void distance_gradient_cuda(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>, CUstream_st*); \
  template std::size_t distance_gradient_cuda_workspace_bytes(const NeighborLists<T>&);                                \
  template void distance_tangent_cuda(const NeighborLists<T>&, const T*, const T*, T*, CUstream_st*)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling
