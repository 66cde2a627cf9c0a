#include "hit_graph/windows.h"

namespace starling {

Windows::Windows(std::unique_ptr<const Content> content) : content_(std::move(content)) {}

const Windows::Content& Windows::content() const {
  static const Content none = [] {
    Content content;
    content.pair_cells = content.triple_cells = {0};
    content.index();
    return content;
  }();
  return content_ ? *content_ : none;
}

double Windows::min_pt() const { return content().min_pt; }
std::int32_t Windows::layer_pairs() const { return content().pairs(); }
std::int32_t Windows::layer_triples() const { return content().triples(); }

void Windows::Content::index() {
  out_pairs.assign(static_cast<std::size_t>(layers()) + 1, 0);
  for (const std::int32_t layer : pair_src) ++out_pairs[static_cast<std::size_t>(layer) + 1];
  for (std::size_t l = 1; l < out_pairs.size(); ++l) out_pairs[l] += out_pairs[l - 1];
  triple_rows.clear();
  std::int32_t entries = 0;
  for (const std::int32_t middle : pair_dst) {
    triple_rows.push_back(entries);
    entries += out_pairs[static_cast<std::size_t>(middle) + 1] - out_pairs[static_cast<std::size_t>(middle)];
  }
  triple_of.assign(static_cast<std::size_t>(entries), -1);
  for (std::int32_t t = 0; t < triples(); ++t) {
    const std::int32_t first = triple_first[static_cast<std::size_t>(t)];
    const std::int32_t second = triple_second[static_cast<std::size_t>(t)];
    const std::int32_t middle = pair_dst[static_cast<std::size_t>(first)];
    triple_of[static_cast<std::size_t>(triple_rows[static_cast<std::size_t>(first)] + second -
                                       out_pairs[static_cast<std::size_t>(middle)])] = t;
  }
}

}  // namespace starling
