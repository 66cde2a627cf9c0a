#include <vector>

#include "hit_graph/triplets.h"
#include "hit_graph/windows.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

// The pair of these layers, −1 = none.
std::int32_t find_pair(const Windows::Content& windows, std::int32_t src, std::int32_t dst) {
  for (std::int32_t pair = windows.out_pairs[src]; pair < windows.out_pairs[src + 1]; ++pair) {
    if (windows.pair_dst[pair] == dst) return pair;
  }
  return -1;
}

}  // namespace

Chain find_chain(const Hits& hits, std::span<const std::int32_t> track, const Windows& windows) {
  const Windows::Content& content = windows.content();
  std::vector<std::int32_t> chosen, layers;  // one hit a layer
  for (const std::int32_t hit : track) {
    const std::int32_t layer = content.find_layer(hits.volume_id[hit], hits.layer_id[hit]);
    if (!layers.empty() && layers.back() == layer) continue;
    chosen.push_back(hit);
    layers.push_back(layer);
  }
  Chain chain{static_cast<int>(layers.size()), layers.size() >= 3};
  for (std::size_t i = 0; chain.whole && i + 2 < layers.size(); ++i) {
    chain.whole = false;
    if (layers[i] < 0 || layers[i + 1] < 0) continue;
    const std::int32_t first = find_pair(content, layers[i], layers[i + 1]);
    const std::int32_t second = find_pair(content, layers[i + 1], layers[i + 2]);
    if (first < 0 || second < 0) continue;
    const std::int32_t triple =
        content.triple_of[content.triple_rows[first] + second - content.out_pairs[layers[i + 1]]];
    const Point a = make_point(hits, chosen[i]), b = make_point(hits, chosen[i + 1]),
                c = make_point(hits, chosen[i + 2]);
    chain.whole = triple >= 0 && passes_triplet(content, triple, a, make_step(a, b), make_step(b, c));
  }
  return chain;
}

}  // namespace starling
