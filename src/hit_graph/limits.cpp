#include "hit_graph/limits.h"

#include <string>

#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

[[noreturn]] void refuse_more(std::int64_t most, const char* what, std::int32_t num_hits) {
  throw Error(ErrorKind::input, "hit graph: more than " + std::to_string(most) + " " + what + " among " +
                                    std::to_string(num_hits) + " hits: these windows are not for this event");
}

}  // namespace

void refuse_doublets(std::int32_t num_hits) { refuse_more(kMostDoublets, "doublets", num_hits); }
void refuse_tested(std::int32_t num_hits) { refuse_more(kMostTested, "candidate triplets", num_hits); }
void refuse_found(std::int32_t num_hits) { refuse_more(kMostFound, "triplets", num_hits); }
void refuse_edges(std::int32_t num_hits) { refuse_more(kMostEdges, "edges", num_hits); }

bool fits(const HitGraphCounts& counts, const HitGraphCapacity& capacity, std::int32_t num_hits) {
  if (counts.bad_hit >= 0) {
    throw Error(ErrorKind::input,
                "hits: a coordinate of hit " + std::to_string(counts.bad_hit) + " is not a finite number");
  }
  if (counts.doublets > kMostDoublets) refuse_doublets(num_hits);
  if (counts.pairs > kMostTested) refuse_tested(num_hits);
  if (counts.triplets > kMostFound) refuse_found(num_hits);
  if (counts.edges > kMostEdges) refuse_edges(num_hits);
  return counts.doublets <= capacity.doublets && counts.edges <= capacity.edges && counts.triplets <= capacity.triplets;
}

}  // namespace starling
