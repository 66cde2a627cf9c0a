#include "hit_graph/triplets.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

namespace starling {

std::vector<std::uint8_t> on_triplets(const HitLayout& hits, const Windows::Content& windows,
                                      const Doublets& doublets) {
  const Csr into = group_edges(doublets.dst, hits.size());
  const auto count = static_cast<std::size_t>(doublets.size());
  // A doublet has one middle hit as the inner arm and one as the outer: with a flag for each, threads never share one.
  std::vector<std::uint8_t> inner(count, 0), outer(count, 0);
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, hits.size(), 1024), [&](const auto& range) {
    std::vector<TripletArm> in, out;
    for (std::int32_t middle = range.begin(); middle < range.end(); ++middle) {
      for_each_triplet(hits, windows, doublets, into, middle, in, out,
                       [&](const TripletArm& ab, const TripletArm& bc, std::int32_t triple) {
                         if (inner[ab.doublet] && outer[bc.doublet]) return;
                         if (!passes_triplet(windows, triple, hits.points[ab.other], ab.step, bc.step)) return;
                         inner[ab.doublet] = outer[bc.doublet] = 1;
                       });
    }
  });
  for (std::size_t e = 0; e < count; ++e) inner[e] |= outer[e];
  return inner;
}

}  // namespace starling
