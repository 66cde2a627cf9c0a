#include "hit_graph/triplets.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <atomic>

#include "hit_graph/limits.h"

namespace starling {
void check_candidates(const HitLayout& hits, const Doublets& doublets, const Csr& into) {
  std::int64_t tested = 0;
  for (std::int32_t middle = 0; middle < hits.size(); ++middle) {
    tested += std::int64_t{into.row_splits[middle + 1] - into.row_splits[middle]} *
              (doublets.first[middle + 1] - doublets.first[middle]);
  }
  if (tested > kMostTested) refuse_tested(hits.size());
}

std::vector<std::vector<Triplet>> find_triplets(const HitLayout& hits, const Windows::Content& windows,
                                                const Doublets& doublets) {
  constexpr std::int32_t kTile = 256;
  const Csr into = group_edges(doublets.dst, hits.size());
  check_candidates(hits, doublets, into);

  const std::int32_t tiles = (hits.size() + kTile - 1) / kTile;
  std::vector<std::vector<Triplet>> found(static_cast<std::size_t>(tiles));
  std::atomic<std::int64_t> total{0};
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, tiles, 1), [&](const auto& range) {
    std::vector<TripletArm> in, out;
    for (std::int32_t t = range.begin(); t < range.end(); ++t) {
      std::vector<Triplet>& tile = found[static_cast<std::size_t>(t)];
      const std::int32_t end = std::min(hits.size(), (t + 1) * kTile);
      for (std::int32_t middle = t * kTile; middle < end; ++middle) {
        const std::size_t before = tile.size();
        for_each_triplet(
            hits, windows, doublets, into, middle, in, out,
            [&](const TripletArm& ab, const TripletArm* first, const TripletArm* last, std::int32_t triple) {
              const TripletWindow window = triplet_window(windows, triple, ab.step, triplet_cot(ab.step));
              const Point& a = hits.points[ab.other];
              for (const TripletArm* bc = first; bc != last; ++bc) {
                if (passes_triplet(window, a, ab.step, bc->step)) tile.push_back({ab.doublet, bc->doublet});
              }
            });
        const auto added = static_cast<std::int64_t>(tile.size() - before);
        if (total.fetch_add(added, std::memory_order_relaxed) + added > kMostFound) refuse_found(hits.size());
      }
    }
  });
  return found;
}

}  // namespace starling
