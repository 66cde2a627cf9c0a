#include "commands.h"
#include "starling/device.h"
#include "starling/error.h"

namespace starling::cli {

TrackCuts TrackOverrides::applied_to(TrackCuts cuts) const {
  if (builder) cuts.builder = parse_track_builder(*builder);
  if (score) cuts.score = *score;
  if (walk_min) cuts.walk_min = *walk_min;
  if (walk_add) cuts.walk_add = *walk_add;
  return cuts;
}

void check_device(const std::string& device) {
  if (parse_device(device) == Device::cpu) return;
  require_cuda();
  throw Error(ErrorKind::device, "device 'cuda': the network runs on the CPU only so far: expected --device cpu");
}

}  // namespace starling::cli
