#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "hit_graph/doublets.h"
#include "hit_graph/geometry.h"
#include "starling/graph.h"

namespace starling {

/// One doublet at its middle hit.
struct TripletArm {
  std::int32_t doublet, pair, other;  ///< other: position of the end that is not the middle
  Step step;
};

/// Whether a → b → c passes the window of `triple`.
inline bool passes_triplet(const Windows::Content& w, std::int32_t triple, const Point& a, const Step& ab,
                           const Step& bc) {
  const std::int32_t cell =
      find_cell(w.triple_cot.data(), w.triple_cells[triple], w.triple_cells[triple + 1], triplet_cot(ab));
  const float k = triplet_curvature(ab, bc);
  if (!(std::fabs(k) <= w.triple_k[cell])) return false;
  if (!(std::fabs(triplet_bend(ab, bc, k)) <= w.triple_bend[cell])) return false;
  return std::fabs(triplet_d0(a, ab, k)) <= w.triple_d0[cell];
}

/// Calls visit(in, out, triple) for every pair of doublets a → b, b → c that have a window together; b at `middle`.
template <class Visit>
void for_each_triplet(const HitLayout& hits, const Windows::Content& w, const Doublets& doublets, const Csr& into,
                      std::int32_t middle, std::vector<TripletArm>& in, std::vector<TripletArm>& out, Visit&& visit) {
  const std::int32_t in_first = into.row_splits[middle], in_last = into.row_splits[middle + 1];
  const std::int32_t out_first = doublets.first[middle], out_last = doublets.first[middle + 1];
  if (in_first == in_last || out_first == out_last) return;
  const Point& b = hits.points[middle];
  in.clear();
  out.clear();
  for (std::int32_t e = in_first; e < in_last; ++e) {
    const std::int32_t doublet = into.edges[e];
    const std::int32_t a = doublets.src[doublet];
    in.push_back({doublet, doublets.pair[doublet], a, make_step(hits.points[a], b)});
  }
  for (std::int32_t doublet = out_first; doublet < out_last; ++doublet) {
    const std::int32_t c = doublets.dst[doublet];
    out.push_back({doublet, doublets.pair[doublet], c, make_step(b, hits.points[c])});
  }
  const std::int32_t base = w.out_pairs[hits.layer[middle]];
  for (const TripletArm& ab : in) {
    const std::int32_t* const triple_of = w.triple_of.data() + w.triple_rows[ab.pair];
    for (const TripletArm& bc : out) {
      const std::int32_t triple = triple_of[bc.pair - base];
      if (triple >= 0) visit(ab, bc, triple);
    }
  }
}

/// Per doublet: 1 where it is on a triplet that passes its window.
std::vector<std::uint8_t> on_triplets(const HitLayout& hits, const Windows::Content& windows, const Doublets& doublets);

}  // namespace starling
