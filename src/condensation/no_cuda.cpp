#include "condensation/backends.h"
#include "starling/error.h"

namespace starling::condensation::cuda {
namespace {

[[noreturn]] void absent() {
  throw Error(ErrorKind::device, "object condensation on a CUDA device: this build has no CUDA");
}

}  // namespace

template <typename T>
std::size_t workspace_bytes(const CondensationHits<T>&) {
  absent();
}
template <typename T>
void loss(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<T>&, std::span<std::byte>,
          const Execution&) {
  absent();
}
template <typename T>
void gradient(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<const T>&,
              const CondensationGradients<T>&, std::span<std::byte>, const Execution&) {
  absent();
}
template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>&) {
  absent();
}
template <typename T>
void condense(const CondenseHits<T>&, const CondenseOptions&, const Condensed&, std::span<std::byte>,
              const Execution&) {
  absent();
}

#define STARLING_INSTANTIATE(T)                                                                                     \
  template std::size_t workspace_bytes(const CondensationHits<T>&);                                                 \
  template void loss(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<T>&,           \
                     std::span<std::byte>, const Execution&);                                                       \
  template void gradient(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<const T>&, \
                         const CondensationGradients<T>&, std::span<std::byte>, const Execution&);                  \
  template std::size_t condense_workspace_bytes(const CondenseHits<T>&);                                            \
  template void condense(const CondenseHits<T>&, const CondenseOptions&, const Condensed&, std::span<std::byte>,    \
                         const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::condensation::cuda
