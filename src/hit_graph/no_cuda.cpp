#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

[[noreturn]] void absent() { throw Error(ErrorKind::device, "a hit graph on a CUDA device: this build has no CUDA"); }

}  // namespace

struct HitGraphCudaPlan::Packed {};

std::size_t HitGraphCudaPlan::windows_bytes(const Windows&) { absent(); }
HitGraphCudaPlan::HitGraphCudaPlan(const Windows&, const FeatureScales&, std::span<std::byte>) { absent(); }
HitGraphCudaPlan::~HitGraphCudaPlan() = default;
std::size_t HitGraphCudaPlan::workspace_bytes(std::int32_t, const HitGraphCapacity&) const { absent(); }
HitGraphView HitGraphCudaPlan::run(const HitsView&, const HitGraphCapacity&, const HitGraphMemory&,
                                   std::span<std::byte>, const Execution&) const {
  absent();
}

}  // namespace starling
