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

/// The window that one first arm a → b and a triple of layers leave for second arms b → c.
struct TripletWindow {
  float k, d0, bend;
  float most_cross2;   ///< no triplet inside has (ab × bc)² above this times |bc|²·|ac|²
  float k2, slack_ab;  ///< k²/24, and how much a bend inside can miss for the arc of ab being taken for its chord
};

template <class Tables>
STARLING_HOST_DEVICE TripletWindow triplet_window(const Tables& w, std::int32_t triple, const Step& ab, float cot) {
  const std::int32_t cell = find_cell(w.triple_cot, w.triple_cells[triple], w.triple_cells[triple + 1], cot);
  TripletWindow window;
  window.k = w.triple_k[cell];
  window.d0 = w.triple_d0[cell];
  window.bend = w.triple_bend[cell];
  window.most_cross2 = 0.2501f * window.k * window.k * ab.chord * ab.chord;
  window.k2 = window.k * window.k * (1.001f / 24.f);
  window.slack_ab = window.k2 * ab.chord * ab.chord + 1e-5f;
  return window;
}

/// Whether a → b → c passes. Most do not: two tests that let all pass which the exact ones let pass need no root and
/// no division. They are of no use where their terms are too small for a float's precision or too large for its
/// range.
STARLING_HOST_DEVICE bool passes_triplet(const TripletWindow& window, const Point& a, const Step& ab, const Step& bc) {
  const float bend_ab = bc.dz * ab.chord, bend_bc = ab.dz * bc.chord;
  const float slack =
      std::fabs(bend_ab) * window.slack_ab + std::fabs(bend_bc) * (window.k2 * bc.chord * bc.chord + 1e-5f);
  if (std::fabs(bend_ab - bend_bc) > 1.0001f * window.bend * ab.length * bc.length + slack + 1e-30f) return false;
  const float cross = ab.dx * bc.dy - ab.dy * bc.dx;
  const float bc2 = bc.chord * bc.chord;
  const float ac2 = ab.chord * ab.chord + bc2 + 2.f * (ab.dx * bc.dx + ab.dy * bc.dy);
  const float most = window.most_cross2 * bc2 * ac2;
  if (cross * cross > most && most > 1e-30f) return false;
  const float curvature = triplet_curvature(ab, bc);
  if (!(std::fabs(curvature) <= window.k)) return false;
  if (!(std::fabs(triplet_bend(ab, bc, curvature)) <= window.bend)) return false;
  return std::fabs(triplet_d0(a, ab, curvature)) <= window.d0;
}

/// Throws ErrorKind::input where more than 2^28 pairs of doublets share their middle hit: no event that the windows are
/// for. `into`: the doublets grouped by their outer hit.
void check_candidates(const HitLayout& hits, const Doublets& doublets, const Csr& into);

/// Calls visit(ab, first, last, triple) for every doublet a → b and every group of doublets b → c, from `first` to
/// `last` − 1, that have a triple of layers together; b at `middle`. `in` and `out` are scratch.
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
  const TripletArm* const end = out.data() + out.size();
  for (const TripletArm& ab : in) {
    const std::int32_t* const triple_of = w.triple_of.data() + w.triple_rows[ab.pair];
    for (const TripletArm *first = out.data(), *last = first; first != end; first = last) {
      while (last != end && last->pair == first->pair) ++last;
      const std::int32_t triple = triple_of[first->pair - base];
      if (triple >= 0) visit(ab, first, last, triple);
    }
  }
}

/// Two doublets a–b and b–c.
struct Triplet {
  std::int32_t first, second;
};

/// The triplets that pass their windows, in tiles: all in order of the middle hit's position, then of their doublets.
/// Throws ErrorKind::input where there are more than 2^28 pairs of doublets to test or 2^25 triplets that pass: no
/// event that the windows were made for.
std::vector<std::vector<Triplet>> find_triplets(const HitLayout& hits, const Windows::Content& windows,
                                                const Doublets& doublets);

}  // namespace starling
