#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "hit_graph/layout.h"
#include "hit_graph/overlaps.h"
#include "hit_graph/triplets.h"
#include "hit_graph/windows.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

bool passes_doublet(const Windows::Content& w, std::size_t pair, const Point& a, const Point& b) {
  DoubletFit fit;
  if (!fit_doublet(a, b, fit)) return false;
  const auto cell =
      static_cast<std::size_t>(find_cell(w.pair_cot, w.pair_cells[pair], w.pair_cells[pair + 1], std::fabs(fit.cot)));
  return std::fabs(fit.k) <= w.pair_k[cell] && std::fabs(fit.z0) <= w.pair_z0[cell];
}

bool passes_triplet(const Windows::Content& w, std::size_t triple, const Point& a, const Step& ab, const Step& bc) {
  const auto cell = static_cast<std::size_t>(
      find_cell(w.triple_cot, w.triple_cells[triple], w.triple_cells[triple + 1], triplet_cot(ab)));
  const TripletFit fit = fit_triplet(a, ab, bc);
  return std::fabs(fit.k) <= w.triple_k[cell] && std::fabs(fit.bend) <= w.triple_bend[cell] &&
         std::fabs(fit.d0) <= w.triple_d0[cell];
}

}  // namespace

HitGraph hit_graph_reference(const HitsView& hits, const Windows& windows) {
  const Windows::Content& w = windows.content();
  const HitLayout layout(hits, w);  // for the hits that are on a layer; its grid is not used
  const std::int32_t count = layout.size();

  struct Doublet {
    std::int32_t a, b, pair;
  };
  std::vector<Doublet> doublets;
  for (std::int32_t a = 0; a < count; ++a) {
    const auto layer = static_cast<std::size_t>(layout.layer[static_cast<std::size_t>(a)]);
    for (std::int32_t pair = w.out_pairs[layer]; pair < w.out_pairs[layer + 1]; ++pair) {
      const auto p = static_cast<std::size_t>(pair);
      for (std::int32_t b = 0; b < count; ++b) {
        if (layout.layer[static_cast<std::size_t>(b)] != w.pair_dst[p]) continue;
        if (passes_doublet(w, p, layout.points[static_cast<std::size_t>(a)],
                           layout.points[static_cast<std::size_t>(b)])) {
          doublets.push_back({a, b, pair});
        }
      }
    }
  }

  using Ends = std::pair<std::int32_t, std::int32_t>;  // hits
  std::set<Ends> edges;
  std::set<std::pair<Ends, Ends>> triplets;
  const auto hit_of = [&](std::int32_t position) { return layout.hit[static_cast<std::size_t>(position)]; };
  const auto from = [&](std::int32_t a) {  // doublets are in ascending order of a
    return std::lower_bound(doublets.begin(), doublets.end(), a,
                            [](const Doublet& d, std::int32_t b) { return d.a < b; });
  };
  for (const Doublet& first : doublets) {
    for (const Doublet& second : std::span(from(first.b), from(first.b + 1))) {
      for (std::int32_t triple = 0; triple < w.triples(); ++triple) {
        const auto t = static_cast<std::size_t>(triple);
        if (w.triple_first[t] != first.pair || w.triple_second[t] != second.pair) continue;
        const Point &a = layout.points[static_cast<std::size_t>(first.a)],
                    &b = layout.points[static_cast<std::size_t>(first.b)],
                    &c = layout.points[static_cast<std::size_t>(second.b)];
        if (!passes_triplet(w, t, a, make_step(a, b), make_step(b, c))) continue;
        const Ends ab{hit_of(first.a), hit_of(first.b)}, bc{hit_of(second.a), hit_of(second.b)};
        edges.insert(ab);
        edges.insert(bc);
        triplets.emplace(ab, bc);
      }
    }
  }

  std::set<std::int32_t> on_edge;
  for (const auto& [src, dst] : edges) {
    on_edge.insert(src);
    on_edge.insert(dst);
  }
  for (std::int32_t a = 0; a < count; ++a) {
    const auto layer = static_cast<std::size_t>(layout.layer[static_cast<std::size_t>(a)]);
    for (std::int32_t b = 0; b < count; ++b) {
      const std::int32_t src = hit_of(a), dst = hit_of(b);
      const Point &pa = layout.points[static_cast<std::size_t>(a)], &pb = layout.points[static_cast<std::size_t>(b)];
      if (layout.layer[static_cast<std::size_t>(a)] != layout.layer[static_cast<std::size_t>(b)] ||
          hits.module_id[static_cast<std::size_t>(src)] == hits.module_id[static_cast<std::size_t>(dst)] ||
          !overlap_starts_at(pa, a, pb, b) || !(w.overlap_distance[layer] > 0.f)) {
        continue;
      }
      const OverlapFit fit = fit_overlap(pa, pb);
      if (fit.distance <= w.overlap_distance[layer] && fit.rphi <= w.overlap_rphi[layer] &&
          (on_edge.count(src) || on_edge.count(dst))) {
        edges.emplace(src, dst);
      }
    }
  }

  HitGraph graph;
  graph.edges.num_nodes = hits.size();
  std::map<Ends, std::int32_t> index;
  for (const Ends& ends : edges) {
    index.emplace(ends, static_cast<std::int32_t>(index.size()));
    graph.edges.src.push_back(ends.first);
    graph.edges.dst.push_back(ends.second);
  }
  std::vector<std::int32_t> first;
  for (const auto& [ab, bc] : triplets) {
    first.push_back(index.at(ab));
    graph.triplets.edges.push_back(index.at(bc));
  }
  graph.triplets.row_splits = group_edges(first, static_cast<std::int32_t>(index.size())).row_splits;
  return graph;
}

}  // namespace starling
