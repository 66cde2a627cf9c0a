#include "starling/config.h"
#include "starling/metrics.h"

namespace starling {

TargetCuts read_target_cuts(Config& config) {
  TargetCuts cuts;
  config.get("target.min_pt", cuts.min_pt, 0, 1e6);
  config.get("target.min_hits", cuts.min_hits, 1, 1000);
  config.get("target.max_radius", cuts.max_radius, 0, 1e6);
  config.get("target.max_abs_eta", cuts.max_abs_eta, 0, 100);
  config.get("target.primary", cuts.primary);
  config.get("target.no_electrons", cuts.no_electrons);
  config.get("target.all", cuts.all);
  return cuts;
}

}  // namespace starling
