#include "hit_graph/doublets.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <atomic>

#include "hit_graph/limits.h"

namespace starling {

void DoubletCandidates::test(const HitLayout& hits, const Windows::Content& w, std::int32_t pair, float k_max,
                             float z0_max, const Point& a) {
  const int end = (count_ + kStep - 1) / kStep * kStep;
  for (int i = count_; i < end; ++i) position_[i] = position_[0];  // tested and left out
  for (int i = 0; i < end; ++i) {
    const Point& b = hits.points[position_[i]];
    x_[i] = b.x;
    y_[i] = b.y;
    z_[i] = b.z;
    r_[i] = b.r;
  }
  for (int i = 0; i < end; ++i) {
    DoubletFit fit;
    widest_[i] = passes_widest(k_max, z0_max, a, {x_[i], y_[i], z_[i], r_[i]}, fit);
    k_[i] = fit.k;
    cot_[i] = fit.cot;
    z0_[i] = fit.z0;
  }
  // As find_cell(): bounds ascend.
  const std::int32_t first_cell = w.pair_cells[pair], last_cell = w.pair_cells[pair + 1] - 1;
  for (int i = 0; i < end; ++i) cell_[i] = first_cell;
  for (std::int32_t cell = first_cell; cell < last_cell; ++cell) {
    const float bound = w.pair_cot[cell];
    for (int i = 0; i < end; ++i) cell_[i] += std::fabs(cot_[i]) > bound;
  }
  passed_ = 0;
  for (int i = 0; i < count_; ++i) {
    passing_[passed_] = i;
    const float k = std::fabs(k_[i]), z0 = std::fabs(z0_[i]);
    passed_ += widest_[i] & (k <= w.pair_k[cell_[i]]) & (z0 <= w.pair_z0[cell_[i]]);
  }
  count_ = 0;
}

Doublets find_doublets(const HitLayout& hits, const Windows::Content& windows) {
  constexpr std::int32_t kTile = 1024;
  struct Tile {
    std::vector<std::int32_t> dst, pair;
  };
  const std::int32_t count = hits.size();
  const std::int32_t tiles = (count + kTile - 1) / kTile;
  std::vector<Tile> found(static_cast<std::size_t>(tiles));
  std::atomic<std::int64_t> total{0};

  Doublets doublets;
  doublets.first.assign(static_cast<std::size_t>(count) + 1, 0);
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, tiles, 1), [&](const auto& range) {
    DoubletCandidates candidates;
    for (std::int32_t t = range.begin(); t < range.end(); ++t) {
      Tile& tile = found[static_cast<std::size_t>(t)];
      const std::int32_t end = std::min(count, (t + 1) * kTile);
      for (std::int32_t source = t * kTile; source < end; ++source) {
        const std::size_t before = tile.dst.size();
        for_each_doublet(hits, windows, source, candidates, [&](std::int32_t b, std::int32_t pair, const DoubletFit&) {
          tile.dst.push_back(b);
          tile.pair.push_back(pair);
        });
        const auto added = static_cast<std::int64_t>(tile.dst.size() - before);
        if (total.fetch_add(added, std::memory_order_relaxed) + added > kMostDoublets) refuse_doublets(count);
        doublets.first[static_cast<std::size_t>(source) + 1] = static_cast<std::int32_t>(added);
      }
    }
  });
  for (std::size_t i = 1; i < doublets.first.size(); ++i) doublets.first[i] += doublets.first[i - 1];
  doublets.dst.resize(static_cast<std::size_t>(doublets.first.back()));
  doublets.src.resize(doublets.dst.size());
  doublets.pair.resize(doublets.dst.size());
  for (std::int32_t t = 0; t < tiles; ++t) {
    const Tile& tile = found[static_cast<std::size_t>(t)];
    const auto at = doublets.first[static_cast<std::size_t>(t) * kTile];
    std::copy(tile.dst.begin(), tile.dst.end(), doublets.dst.begin() + at);
    std::copy(tile.pair.begin(), tile.pair.end(), doublets.pair.begin() + at);
  }
  for (std::int32_t i = 0; i < count; ++i) {
    std::fill(doublets.src.begin() + doublets.first[static_cast<std::size_t>(i)],
              doublets.src.begin() + doublets.first[static_cast<std::size_t>(i) + 1], i);
  }
  return doublets;
}

}  // namespace starling
