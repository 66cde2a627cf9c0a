#include "starling/config.h"
#include "starling/hit_graph.h"

namespace starling {

WindowSettings read_window_settings(Config& config) {
  WindowSettings settings;
  config.get("graph.min_pt", settings.min_pt, 0.05, 100.);
  config.get("graph.min_hits", settings.min_hits, 3, 100);
  config.get("graph.events", settings.events, 1, 1000000);
  config.get("graph.background_events", settings.background_events, 1, 10000);
  config.get("graph.lambda_doublets", settings.lambda_doublets, 0., 1.);
  config.get("graph.lambda_triplets", settings.lambda_triplets, 0., 1.);
  config.get("graph.overlaps", settings.overlaps);
  return settings;
}

}  // namespace starling
