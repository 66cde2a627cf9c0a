#include "edge_conv/backends.h"
#include "starling/error.h"

namespace starling::edgeconv::cuda {
namespace {

[[noreturn]] void absent() { throw Error(ErrorKind::device, "EdgeConv on a CUDA device: this build has no CUDA"); }

}  // namespace

template <typename T>
std::size_t workspace_bytes(const EdgeConv<T>&) {
  absent();
}
template <typename T>
void edge_conv(const EdgeConv<T>&, const EdgeConvResult<T>&, std::span<std::byte>, const Execution&) {
  absent();
}
template <typename T>
std::size_t gradient_workspace_bytes(const EdgeConv<T>&) {
  absent();
}
template <typename T>
void edge_conv_gradient(const EdgeConv<T>&, const T*, const std::int32_t*, const EdgeConvGradients<T>&,
                        std::span<std::byte>, const Execution&) {
  absent();
}

#define STARLING_INSTANTIATE(T)                                                                                    \
  template std::size_t workspace_bytes(const EdgeConv<T>&);                                                        \
  template void edge_conv(const EdgeConv<T>&, const EdgeConvResult<T>&, std::span<std::byte>, const Execution&);   \
  template std::size_t gradient_workspace_bytes(const EdgeConv<T>&);                                               \
  template void edge_conv_gradient(const EdgeConv<T>&, const T*, const std::int32_t*, const EdgeConvGradients<T>&, \
                                   std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::edgeconv::cuda
