// The longest path from every hit is kept up to date while paths are taken away, so the work stays close to linear in
// the number of edges: a removal only concerns the hits further in that led to it.
#include "tracks/walkthrough.h"

#include <algorithm>
#include <queue>
#include <tuple>

namespace starling {
namespace {

struct Way {
  std::int32_t hits = 1;   // of the path from here outwards, this one included
  double score = 0;        // sum over its edges
  std::int32_t next = -1;  // the hit it goes to

  bool operator==(const Way&) const = default;
};

// True where `a` goes before `b`; the nodes they concern break a tie.
bool before(const Way& a, std::int32_t node_a, const Way& b, std::int32_t node_b) {
  return std::tuple(-a.hits, -a.score, node_a) < std::tuple(-b.hits, -b.score, node_b);
}

class Walker {
 public:
  Walker(const Adjacency& graph, std::span<const std::int32_t> order, std::span<const std::uint8_t> walkable,
         float walk_add)
      : graph_(graph),
        order_(order),
        walk_add_(walk_add),
        alive_(walkable.begin(), walkable.end()),
        rank_(order.size()),
        inner_(order.size(), 0),
        way_(order.size()),
        queued_(order.size(), 0),
        on_path_(order.size(), 0) {
    for (std::size_t i = 0; i < order.size(); ++i) rank_[order[i]] = static_cast<std::int32_t>(i);
    for (auto node = order.rbegin(); node != order.rend(); ++node) {
      if (!alive_[*node]) continue;
      way_[*node] = best_way(*node);
      for (const Adjacency::Link& link : graph.in(*node)) inner_[*node] += leads(link.node, *node);
      if (inner_[*node] == 0) offer(*node);
    }
  }

  std::vector<std::vector<std::int32_t>> run(int min_hits) {
    std::vector<std::vector<std::int32_t>> paths;
    while (!starts_.empty()) {
      const Start start = starts_.top();
      starts_.pop();
      if (!alive_[start.node] || !(way_[start.node] == start.way)) continue;  // superseded by a later offer
      std::vector<std::int32_t> path;
      if (start.way.hits < min_hits) {
        path.push_back(start.node);
      } else {
        for (std::int32_t v = start.node; v >= 0; v = way_[v].next) path.push_back(v);
      }
      if (start.way.hits >= min_hits) join_beside(path);
      take_away(path);
      if (start.way.hits >= min_hits) paths.push_back(std::move(path));
    }
    return paths;
  }

 private:
  struct Start {
    std::int32_t node;
    Way way;
    bool operator<(const Start& other) const { return before(other.way, other.node, way, node); }
  };

  // Whether the walk may use the edge: both ends are there, and it closes no cycle.
  bool leads(std::int32_t src, std::int32_t dst) const { return alive_[src] && alive_[dst] && rank_[src] < rank_[dst]; }

  Way best_way(std::int32_t node) const {
    const Adjacency::Link* best = nullptr;
    for (const Adjacency::Link& link : graph_.out(node)) {
      if (!leads(node, link.node)) continue;
      if (best == nullptr || link.score > best->score || (link.score == best->score && link.node < best->node)) {
        best = &link;
      }
    }
    Way chosen;
    for (const Adjacency::Link& link : graph_.out(node)) {
      if (!leads(node, link.node) || (&link != best && !(link.score >= walk_add_))) continue;
      const Way way{way_[link.node].hits + 1, way_[link.node].score + double{link.score}, link.node};
      if (chosen.next < 0 || before(way, way.next, chosen, chosen.next)) chosen = way;
    }
    return chosen;
  }

  void offer(std::int32_t node) { starts_.push({node, way_[node]}); }

  // Adds the hits beside a path, and those beside them; starling/tracks.h says which.
  void join_beside(std::vector<std::int32_t>& path) {
    std::vector<std::int32_t> added;
    for (const std::int32_t v : path) on_path_[v] = 1;
    const auto count = [&](std::span<const Adjacency::Link> links, int& here, int& elsewhere) {
      for (const Adjacency::Link& link : links) {
        if (alive_[link.node] && link.score >= walk_add_) ++(on_path_[link.node] ? here : elsewhere);
      }
    };
    const auto try_to_add = [&](std::int32_t hit) {
      if (!alive_[hit] || on_path_[hit]) return;
      int from_path = 0, to_path = 0, elsewhere = 0;
      count(graph_.in(hit), from_path, elsewhere);
      count(graph_.out(hit), to_path, elsewhere);
      const int here = from_path + to_path;
      const bool spanned = from_path > 0 && to_path > 0 && here >= elsewhere;
      if (spanned || (here > 0 && elsewhere == 0)) added.push_back(hit);
    };
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = path.size();
      for (std::size_t i = begin; i < end; ++i) {
        for (const Adjacency::Link& link : graph_.in(path[i])) try_to_add(link.node);
        for (const Adjacency::Link& link : graph_.out(path[i])) try_to_add(link.node);
      }
      std::sort(added.begin(), added.end());
      added.erase(std::unique(added.begin(), added.end()), added.end());
      for (const std::int32_t v : added) on_path_[v] = 1;
      path.insert(path.end(), added.begin(), added.end());
      added.clear();
      begin = end;
    }
    std::sort(path.begin(), path.end(), [&](std::int32_t a, std::int32_t b) { return rank_[a] < rank_[b]; });
    for (const std::int32_t v : path) on_path_[v] = 0;
  }

  void take_away(const std::vector<std::int32_t>& path) {
    for (const std::int32_t v : path) {
      for (const Adjacency::Link& link : graph_.out(v)) {
        if (leads(v, link.node) && --inner_[link.node] == 0) offer(link.node);
      }
      alive_[v] = 0;
      look_again_further_in(v);
    }
    // Outermost first, so each way is settled before those that build on it.
    while (!stale_.empty()) {
      const std::int32_t v = order_[stale_.top()];
      stale_.pop();
      queued_[v] = 0;
      if (!alive_[v]) continue;
      const Way way = best_way(v);
      if (way == way_[v]) continue;
      way_[v] = way;
      if (inner_[v] == 0) offer(v);
      look_again_further_in(v);
    }
  }

  void look_again_further_in(std::int32_t node) {
    for (const Adjacency::Link& link : graph_.in(node)) {
      if (!alive_[link.node] || rank_[link.node] >= rank_[node] || queued_[link.node]) continue;
      queued_[link.node] = 1;
      stale_.push(rank_[link.node]);
    }
  }

  const Adjacency& graph_;
  std::span<const std::int32_t> order_;
  float walk_add_;
  std::vector<std::uint8_t> alive_;
  std::vector<std::int32_t> rank_;
  std::vector<std::int32_t> inner_;  // edges from further in that may still be used
  std::vector<Way> way_;
  std::vector<std::uint8_t> queued_, on_path_;
  std::priority_queue<Start> starts_;
  std::priority_queue<std::int32_t> stale_;  // ranks
};

}  // namespace

std::vector<std::vector<std::int32_t>> walk(const Adjacency& graph, std::span<const std::int32_t> order,
                                            std::span<const std::uint8_t> walkable, float walk_add, int min_hits) {
  return Walker(graph, order, walkable, walk_add).run(min_hits);
}

}  // namespace starling
