#include "message/backends.h"
#include "starling/error.h"

namespace starling::message::cuda {
namespace {

[[noreturn]] void absent() { throw Error(ErrorKind::device, "messages on a CUDA device: this build has no CUDA"); }

}  // namespace

template <typename T>
void aggregate(const Messages<T>&, const Aggregates<T>&, const Execution&) {
  absent();
}
template <typename T>
std::size_t gradient_workspace_bytes(const Messages<T>&) {
  absent();
}
template <typename T>
void aggregate_gradient(const Messages<T>&, const AggregateGradients<T>&, T*, T*, std::span<std::byte>,
                        const Execution&) {
  absent();
}

#define STARLING_INSTANTIATE(T)                                                                                    \
  template void aggregate(const Messages<T>&, const Aggregates<T>&, const Execution&);                             \
  template std::size_t gradient_workspace_bytes(const Messages<T>&);                                               \
  template void aggregate_gradient(const Messages<T>&, const AggregateGradients<T>&, T*, T*, std::span<std::byte>, \
                                   const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::message::cuda
