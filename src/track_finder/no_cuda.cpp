#include "starling/error.h"
#include "track_finder/session.h"

namespace starling::track_finder {

std::unique_ptr<Runner> cuda_runner(const TrackFinder&, NumberType) {
  throw Error(ErrorKind::device, "tracks on a CUDA device: this build has no CUDA");
}

}  // namespace starling::track_finder
