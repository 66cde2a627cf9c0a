#include "starling/error.h"
#include "starling/quantized_network.h"

namespace starling {
namespace {

[[noreturn]] void no_cuda() {
  throw Error(ErrorKind::device, "a quantised network on a CUDA device: this build has no CUDA");
}

}  // namespace

struct QuantizedCudaPlan::Packed {};

std::size_t QuantizedCudaPlan::weights_bytes(const QuantizedNetwork&) { no_cuda(); }
QuantizedCudaPlan::QuantizedCudaPlan(const QuantizedNetwork&, std::span<std::byte>) { no_cuda(); }
QuantizedCudaPlan::~QuantizedCudaPlan() = default;
const InteractionNetworkShape& QuantizedCudaPlan::shape() const { no_cuda(); }
std::size_t QuantizedCudaPlan::workspace_bytes(std::int32_t, std::int64_t) const { no_cuda(); }
void QuantizedCudaPlan::run(const GraphView&, float*, std::span<std::byte>, const Execution&) const { no_cuda(); }

}  // namespace starling
