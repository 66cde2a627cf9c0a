#include "tracks/backends.h"

// A build without CUDA: each function says so.
namespace starling::tracks::cuda {

std::size_t build_tracks_bytes(std::int32_t, std::int64_t, const TrackCuts&) {
  require_cuda();
  return 0;
}
void build_tracks(const EdgeListView&, const HitGraphView*, const float*, const TrackCuts&, const TracksMemory&,
                  std::span<std::byte>, const Execution&) {
  require_cuda();
}

}  // namespace starling::tracks::cuda
