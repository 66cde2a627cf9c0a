#include "starling/error.h"
#include "starling/gravnet.h"

namespace starling {
namespace {

[[noreturn]] void absent() {
  throw Error(ErrorKind::device, "a GravNet network on a CUDA device: this build has no CUDA");
}

}  // namespace

struct GravNetCudaPlan::Packed {};

std::size_t GravNetCudaPlan::weights_bytes(const GravNetShape&) { absent(); }
GravNetCudaPlan::GravNetCudaPlan(const GravNet&, std::span<std::byte>) { absent(); }
GravNetCudaPlan::~GravNetCudaPlan() = default;
const GravNetShape& GravNetCudaPlan::shape() const { absent(); }
std::size_t GravNetCudaPlan::workspace_bytes(const GravNetHits&) const { absent(); }
void GravNetCudaPlan::run(const GravNetHits&, float*, std::span<std::byte>, const Execution&) const { absent(); }

}  // namespace starling
