#include "message/backends.h"
#include "starling/error.h"

namespace starling::message::cuda {
namespace {

[[noreturn]] void absent() { throw Error(ErrorKind::device, "messages on a CUDA device: this build has no CUDA"); }

}  // namespace

template <typename T, typename S>
void aggregate(const Messages<T, S>&, const Aggregates<S>&, const Execution&) {
  absent();
}
template <typename T, typename S>
std::size_t gradient_workspace_bytes(const Messages<T, S>&) {
  absent();
}
template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>&, const AggregateGradients<S>&, S*, T*, std::span<std::byte>,
                        const Execution&) {
  absent();
}

#define STARLING_INSTANTIATE(T, S)                                                                                    \
  template void aggregate(const Messages<T, S>&, const Aggregates<S>&, const Execution&);                             \
  template std::size_t gradient_workspace_bytes(const Messages<T, S>&);                                               \
  template void aggregate_gradient(const Messages<T, S>&, const AggregateGradients<S>&, S*, T*, std::span<std::byte>, \
                                   const Execution&)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(double, double);
STARLING_INSTANTIATE(float, Float16);
STARLING_INSTANTIATE(float, BFloat16);
#undef STARLING_INSTANTIATE

}  // namespace starling::message::cuda
