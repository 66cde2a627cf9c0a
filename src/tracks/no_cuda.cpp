#include "starling/error.h"
#include "tracks/backends.h"

namespace starling::tracks::cuda {
namespace {

[[noreturn]] void absent() {
  throw Error(ErrorKind::device, "track building on a CUDA device: this build has no CUDA");
}

}  // namespace

std::size_t build_tracks_bytes(std::int32_t, std::int64_t, const TrackCuts&) { absent(); }
void build_tracks(const EdgeListView&, const HitGraphView*, const float*, const TrackCuts&, const TracksMemory&,
                  std::span<std::byte>, const Execution&) {
  absent();
}

}  // namespace starling::tracks::cuda
