#include "gravnet/check.h"

#include <limits>

#include "dense/weights.h"
#include "memory/arguments.h"
#include "starling/neighbors.h"

namespace starling::gravnet {

void check_counts(const GravNetHits& hits, const char* function) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  memory::check_count(function, "num_hits", hits.num_hits, 0, kMost);
  memory::check_count(function, "num_events", hits.num_events, 0, kMost);
  if (hits.row_splits == nullptr) memory::check_count(function, "num_events without row_splits", hits.num_events, 1, 1);
}

void check_hits(const GravNetHits& hits, const float* outputs, const char* function) {
  check_counts(hits, function);
  memory::check_there(function, "features", hits.features, hits.num_hits);
  memory::check_there(function, "outputs", outputs, hits.num_hits);
}

void check_splits(const GravNetHits& hits, const char* function) {
  if (hits.row_splits == nullptr) return;
  check_row_splits({hits.row_splits, static_cast<std::size_t>(hits.num_events) + 1}, hits.num_hits,
                   std::string(function) + ": row_splits");
}

const GravNet& checked(const GravNet& network) {
  dense::check_weights(network.weights, layers(network.shape), ErrorKind::usage, "");
  return network;
}

}  // namespace starling::gravnet
