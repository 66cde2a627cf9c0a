#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "hit_graph/geometry.h"
#include "hit_graph/layout.h"
#include "hit_graph/windows.h"

namespace starling {

/// Where on a target layer the partners of one hit can lie: conservative, so that a search inside finds every pair that
/// passes the window.
struct SearchRegion {
  float half_phi;   ///< rad
  float low, high;  ///< along the target grid's second axis, mm
};

/// The widest of a pair's windows that hit `a` can need. False where no cell can hold it.
template <class Tables>
STARLING_HOST_DEVICE bool widest_window(const Tables& w, std::int32_t pair, const Point& a, float& k, float& z0) {
  k = z0 = -1.f;
  const std::int32_t last = w.pair_cells[pair + 1];
  float lower = 0.f;
  for (std::int32_t c = w.pair_cells[pair]; c < last; ++c) {
    // |cot θ| = |za − z0| / s(ra) with s between ra and its arc length at the largest k.
    const float most = (std::fabs(a.z) + w.pair_z0[c]) * 1.0001f;
    const float least = (std::fabs(a.z) - w.pair_z0[c]) * 0.9999f;
    if (most >= lower * a.r && least <= w.pair_cot[c] * arc_length(a.r, w.pair_k[c])) {
      k = greater(k, w.pair_k[c]);
      z0 = greater(z0, w.pair_z0[c]);
    }
    lower = w.pair_cot[c];
  }
  return z0 >= 0.f;
}

STARLING_HOST_DEVICE float least_of(const float (&v)[4]) { return lesser(lesser(lesser(v[0], v[1]), v[2]), v[3]); }
STARLING_HOST_DEVICE float most_of(const float (&v)[4]) { return greater(greater(greater(v[0], v[1]), v[2]), v[3]); }

/// False where no hit of the target layer can pass |k| ≤ k_max, |z0| ≤ z0_max with `a`.
STARLING_HOST_DEVICE bool search_region(const Point& a, const HitLayout::Layer& target, float k_max, float z0_max,
                                        SearchRegion& region) {
  if (target.first == target.last || !(target.r_max > a.r)) return false;
  const float growth = k_max * k_max * (1.f / 24.f);
  // s(rb)/s(ra) = rb/ra · f with f between 1 and its value at the largest k.
  const auto stretch = [&](float r) { return (1.f + growth * r * r) / (1.f + growth * a.r * a.r); };
  float r_high = target.r_max;
  if (target.along_z) {
    const float small = greater(target.r_min, a.r) / a.r, large = target.r_max / a.r * stretch(target.r_max);
    const float outer = a.z + z0_max, inner = a.z - z0_max;  // za − z0 at the window's ends
    const float ends[4] = {-z0_max + outer * small, -z0_max + outer * large, z0_max + inner * small,
                           z0_max + inner * large};
    region.low = least_of(ends);
    region.high = most_of(ends);
    const float margin = 0.02f + 2e-5f * greater(std::fabs(region.low), std::fabs(region.high));
    region.low -= margin;
    region.high += margin;
    if (region.low > target.z_max || region.high < target.z_min) return false;
  } else {
    float small = 1.f, large = target.r_max / a.r * stretch(target.r_max);
    if (std::fabs(a.z) > z0_max * 1.0001f + 0.001f) {
      const float ratio[4] = {(target.z_min - z0_max) / (a.z - z0_max), (target.z_max - z0_max) / (a.z - z0_max),
                              (target.z_min + z0_max) / (a.z + z0_max), (target.z_max + z0_max) / (a.z + z0_max)};
      const float least = least_of(ratio), most = most_of(ratio);
      // Rounding of z matters where the lever arm za ± z0 is short.
      const float margin = 2e-5f + 2e-6f * (std::fabs(a.z) + std::fabs(target.z_max) + std::fabs(target.z_min)) /
                                       (std::fabs(a.z) - z0_max);
      small = greater(small, least - margin * (1.f + std::fabs(least)));
      large = lesser(large, most + margin * (1.f + std::fabs(most)));
      if (large < small) return false;
    }
    region.high = lesser(a.r * large * 1.00002f, target.r_max);
    region.low = a.r * small / stretch(region.high) * 0.99998f;
    if (region.low > target.r_max || region.high < target.r_min) return false;
    r_high = region.high;
  }
  // With h = sin(Δφ/2) and dxy² = Δr² + 4·ra·rb·h², |k| ≤ k_max reads 4h²(1 − h²) ≤ (k_max/2)²·dxy²: a quadratic in h².
  const float quarter = 0.25f * k_max * k_max, dr = r_high - a.r;
  const float p = 1.f - quarter * a.r * r_high;
  const float discriminant = p * p - quarter * dr * dr;
  region.half_phi = 1.5708f;
  if (p > 0.f && discriminant >= 0.f) {
    const float h2 = 0.5f * quarter * dr * dr / (p + std::sqrt(discriminant));
    // asin h ≤ h(1 + 0.2215·h²) up to h = √½.
    if (h2 < 0.5f) region.half_phi = lesser(1.5708f, 2.f * std::sqrt(h2) * (1.f + 0.2215f * h2) * 1.0001f + 2e-6f);
  }
  return true;
}

/// The terms of two tests that let every partner b of a pass which the exact ones let pass, and need no root and no
/// division: most hits of a search region fail them. For devices: the host tests several at a time.
struct DoubletBounds {
  float z0, k2, curvature;
};

STARLING_HOST_DEVICE DoubletBounds doublet_bounds(const Point& a, float k_max, float z0_max) {
  return {z0_max, k_max * k_max * (1.001f / 8.f), 0.2501f * k_max * k_max * a.r * a.r};
}

STARLING_HOST_DEVICE bool may_pass(const DoubletBounds& bounds, const Point& a, const Point& b) {
  // z0·(sb − sa) = za·sb − zb·sa, with s between r and r·(1 + k²r²/24).
  const float ab = a.z * b.r, ba = b.z * a.r;
  const float stretch = bounds.k2 * b.r * b.r + 1e-5f;
  const float slack = stretch * (std::fabs(ab) + std::fabs(ba)) + 1e-5f * bounds.z0 * b.r;
  if (std::fabs(ab - ba) > bounds.z0 * (b.r - a.r) * (1.f + stretch) + slack) return false;
  const float dx = b.x - a.x, dy = b.y - a.y, cross = a.x * b.y - a.y * b.x;
  const float most = bounds.curvature * b.r * b.r * (dx * dx + dy * dy);
  return !(cross * cross > most && most > 1e-30f);  // below, a float has lost too much of it
}

/// Fits a → b. Whether it is inside the widest window of its pair, k_max and z0_max.
STARLING_HOST_DEVICE bool passes_widest(float k_max, float z0_max, const Point& a, const Point& b, DoubletFit& fit) {
  const bool fits = fit_doublet(a, b, fit);
  const float k = std::fabs(fit.k), z0 = std::fabs(fit.z0);
  return fits & (k <= k_max) & (z0 <= z0_max);
}

/// Whether a → b passes the window of its cell, of a pair whose widest window is k_max and z0_max.
template <class Tables>
STARLING_HOST_DEVICE bool passes_doublet(const Tables& w, std::int32_t pair, float k_max, float z0_max, const Point& a,
                                         const Point& b, DoubletFit& fit, std::int32_t& cell) {
  if (!passes_widest(k_max, z0_max, a, b, fit)) return false;
  cell = find_cell(w.pair_cot, w.pair_cells[pair], w.pair_cells[pair + 1], std::fabs(fit.cot));
  return std::fabs(fit.k) <= w.pair_k[cell] && std::fabs(fit.z0) <= w.pair_z0[cell];
}

/// Partners of one hit on one layer, tested together: in loops without branches, which compilers turn into vectors.
class DoubletCandidates {
 public:
  /// Adds the positions from `first` on, as many of `count`, if any, as there is room for: returns how many.
  int add(std::int32_t first, int count) {
    const int added = std::clamp(count, 0, kMost - count_);
    std::int32_t* const to = position_ + count_;
    for (int i = 0; i < kStep; ++i) to[i] = first + i;  // most rows of bins have no more
    for (int i = kStep; i < added; ++i) to[i] = first + i;
    count_ += added;
    return added;
  }
  bool empty() const { return count_ == 0; }

  /// Finds those that passes_doublet() lets pass with `a`, and empties the set: the next add() begins anew.
  void test(const HitLayout& hits, const Windows::Content& w, std::int32_t pair, float k_max, float z0_max,
            const Point& a);
  /// Calls visit(position, fit) for those that passed, in the order in which they were added.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (int n = 0; n < passed_; ++n) {
      const int i = passing_[n];
      visit(position_[i], DoubletFit{k_[i], cot_[i], z0_[i]});
    }
  }

 private:
  static constexpr int kMost = 64, kStep = 4;  // kStep divides kMost
  int count_ = 0, passed_ = 0;
  std::int32_t position_[kMost + kStep];
  float x_[kMost], y_[kMost], z_[kMost], r_[kMost];
  float k_[kMost], cot_[kMost], z0_[kMost];
  std::int32_t widest_[kMost], cell_[kMost], passing_[kMost];
};

/// Calls visit(position of b, pair, fit) for every doublet a → b that passes its window, a at `source`; partners in
/// ascending order of pair, then of the search. `candidates` is scratch.
template <class Visit>
void for_each_doublet(const HitLayout& hits, const Windows::Content& w, std::int32_t source,
                      DoubletCandidates& candidates, Visit&& visit) {
  const Point a = hits.points[source];
  const std::int32_t layer = hits.layer[source];
  const float phi = hits.phi[source];
  for (std::int32_t pair = w.out_pairs[layer]; pair < w.out_pairs[layer + 1]; ++pair) {
    const auto& target = hits.layers[w.pair_dst[pair]];
    float k_max, z0_max;
    SearchRegion region;
    if (!widest_window(w, pair, a, k_max, z0_max) || !search_region(a, target, k_max, z0_max, region)) continue;
    const auto test = [&] {
      candidates.test(hits, w, pair, k_max, z0_max, a);
      candidates.for_each([&](std::int32_t b, const DoubletFit& fit) { visit(b, pair, fit); });
    };
    const int low = long_bin(target, region.low), high = long_bin(target, region.high);
    const int last_row = phi_bin(phi + region.half_phi);
    for (int row = phi_bin(phi - region.half_phi); row <= last_row; ++row) {
      const int wrapped = row & (HitLayout::kPhiBins - 1);
      const std::int32_t* const bins = hits.bins.data() + target.first_bin + wrapped * HitLayout::kLongBins;
      std::int32_t b = bins[low];
      const std::int32_t end = bins[high + 1];
      for (b += candidates.add(b, end - b); b < end; b += candidates.add(b, end - b)) test();
    }
    if (!candidates.empty()) test();
  }
}

/// The doublets of an event, by source position.
struct Doublets {
  std::vector<std::int32_t> first;  ///< [positions + 1] row splits
  std::vector<std::int32_t> src;    ///< position
  std::vector<std::int32_t> dst;    ///< position
  std::vector<std::int32_t> pair;

  std::int32_t size() const { return static_cast<std::int32_t>(dst.size()); }
};

/// Throws ErrorKind::input where there are more than 2^25 of them: no event that the windows were made for.
Doublets find_doublets(const HitLayout& hits, const Windows::Content& windows);

}  // namespace starling
