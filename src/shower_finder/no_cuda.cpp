#include "shower_finder/backends.h"
#include "shower_finder/session.h"
#include "starling/error.h"

namespace starling::shower_finder {
namespace {

[[noreturn]] void absent() { throw Error(ErrorKind::device, "showers on a CUDA device: this build has no CUDA"); }

}  // namespace

void cuda::features(const CalorimeterHitsView&, const ShowerFeatures&, float*, const Execution&) { absent(); }
void cuda::points(const CalorimeterHitsView&, const ShowerOutputs&, const float*, const ShowerPoints&,
                  const Execution&) {
  absent();
}
std::unique_ptr<Runner> cuda_runner(const ShowerFinder&) { absent(); }

}  // namespace starling::shower_finder
