#include "interaction_step/backends.h"
#include "starling/error.h"

namespace starling::interactionstep::cuda {
namespace {

[[noreturn]] void absent() {
  throw Error(ErrorKind::device, "training of the interaction network on a CUDA device: this build has no CUDA");
}

}  // namespace

template <typename In, typename Out>
std::size_t workspace_bytes(const MlpRows<In, Out>&) {
  absent();
}
template <typename In, typename Out>
std::size_t gradient_workspace_bytes(const MlpRows<In, Out>&) {
  absent();
}
template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>&, Out*, std::span<std::byte>, const Execution&) {
  absent();
}
template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>&, const Out*, In*, ParameterOf<Out>*, std::span<std::byte>,
                       const Execution&) {
  absent();
}
template <typename S>
std::size_t workspace_bytes(const InteractionStep<S>&) {
  absent();
}
template <typename S>
std::size_t gradient_workspace_bytes(const InteractionStep<S>&) {
  absent();
}
template <typename S>
void interaction_step(const InteractionStep<S>&, S*, S*, std::span<std::byte>, const Execution&) {
  absent();
}
template <typename S>
void interaction_step_gradient(const InteractionStep<S>&, const S*, const S*, const S*,
                               const InteractionStepGradients<S>&, std::span<std::byte>, const Execution&) {
  absent();
}

void gather_ends(const EdgeEnds&, const float*, float*, const Execution&) { absent(); }
void sum_ends(const EdgeEnds&, const float*, float*, const Execution&) { absent(); }

#define STARLING_INSTANTIATE(In, Out)                                                                                \
  template std::size_t workspace_bytes(const MlpRows<In, Out>&);                                                     \
  template std::size_t gradient_workspace_bytes(const MlpRows<In, Out>&);                                            \
  template void mlp_rows(const MlpRows<In, Out>&, Out*, std::span<std::byte>, const Execution&);                     \
  template void mlp_rows_gradient(const MlpRows<In, Out>&, const Out*, In*, ParameterOf<Out>*, std::span<std::byte>, \
                                  const Execution&)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(float, BFloat16);
STARLING_INSTANTIATE(BFloat16, BFloat16);
STARLING_INSTANTIATE(BFloat16, float);
#undef STARLING_INSTANTIATE

#define STARLING_INSTANTIATE(S)                                                                              \
  template std::size_t workspace_bytes(const InteractionStep<S>&);                                           \
  template std::size_t gradient_workspace_bytes(const InteractionStep<S>&);                                  \
  template void interaction_step(const InteractionStep<S>&, S*, S*, std::span<std::byte>, const Execution&); \
  template void interaction_step_gradient(const InteractionStep<S>&, const S*, const S*, const S*,           \
                                          const InteractionStepGradients<S>&, std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(BFloat16);
#undef STARLING_INSTANTIATE

}  // namespace starling::interactionstep::cuda
