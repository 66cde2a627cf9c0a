#include <cmath>
#include <cstdint>
#include <set>
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
  const auto cell = static_cast<std::size_t>(
      find_cell(w.pair_cot.data(), w.pair_cells[pair], w.pair_cells[pair + 1], std::fabs(fit.cot)));
  return std::fabs(fit.k) <= w.pair_k[cell] && std::fabs(fit.z0) <= w.pair_z0[cell];
}

}  // namespace

EdgeList hit_graph_reference(const Hits& hits, const Windows& windows) {
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

  std::set<std::pair<std::int32_t, std::int32_t>> edges;  // hits
  const auto hit_of = [&](std::int32_t position) { return layout.hit[static_cast<std::size_t>(position)]; };
  for (const Doublet& first : doublets) {
    for (const Doublet& second : doublets) {
      if (first.b != second.a) continue;
      for (std::int32_t triple = 0; triple < w.triples(); ++triple) {
        const auto t = static_cast<std::size_t>(triple);
        if (w.triple_first[t] != first.pair || w.triple_second[t] != second.pair) continue;
        const Point &a = layout.points[static_cast<std::size_t>(first.a)],
                    &b = layout.points[static_cast<std::size_t>(first.b)],
                    &c = layout.points[static_cast<std::size_t>(second.b)];
        if (!passes_triplet(w, triple, a, make_step(a, b), make_step(b, c))) continue;
        edges.emplace(hit_of(first.a), hit_of(first.b));
        edges.emplace(hit_of(second.a), hit_of(second.b));
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
          !overlap_starts_at(pa, src, pb, dst) || !(w.overlap_distance[layer] > 0.f)) {
        continue;
      }
      const OverlapFit fit = fit_overlap(pa, pb);
      if (fit.distance <= w.overlap_distance[layer] && fit.rphi <= w.overlap_rphi[layer] &&
          (on_edge.count(src) || on_edge.count(dst))) {
        edges.emplace(src, dst);
      }
    }
  }

  EdgeList list;
  list.num_nodes = hits.size();
  for (const auto& [src, dst] : edges) {
    list.src.push_back(src);
    list.dst.push_back(dst);
  }
  return list;
}

}  // namespace starling
