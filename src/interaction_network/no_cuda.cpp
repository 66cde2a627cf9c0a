#include "interaction_network/scores.h"
#include "starling/error.h"
#include "starling/interaction_network.h"

namespace starling {
namespace {

[[noreturn]] void no_cuda() {
  throw Error(ErrorKind::device, "an interaction network on a CUDA device: this build has no CUDA");
}

}  // namespace

struct InteractionNetworkCudaPlan::Packed {};

std::size_t InteractionNetworkCudaPlan::weights_bytes(const InteractionNetworkShape&, NumberType) { no_cuda(); }
InteractionNetworkCudaPlan::InteractionNetworkCudaPlan(const InteractionNetwork&, NumberType, std::span<std::byte>) {
  no_cuda();
}
InteractionNetworkCudaPlan::~InteractionNetworkCudaPlan() = default;
const InteractionNetworkShape& InteractionNetworkCudaPlan::shape() const { no_cuda(); }
NumberType InteractionNetworkCudaPlan::type() const { no_cuda(); }
std::size_t InteractionNetworkCudaPlan::workspace_bytes(std::int32_t, std::int64_t) const { no_cuda(); }
void InteractionNetworkCudaPlan::run(const GraphView&, float*, std::span<std::byte>, const Execution&) const {
  no_cuda();
}

void interaction_network::cuda::edge_scores(const float*, std::int64_t, const std::int32_t*, float*, CUstream_st*) {
  no_cuda();
}

}  // namespace starling
