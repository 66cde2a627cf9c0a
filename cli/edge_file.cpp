#include "edge_file.h"

#include "ending.h"
#include "files/files.h"
#include "numbers/numbers.h"

namespace starling::cli {
namespace {

constexpr const char* kHeader = "hit_id_src,hit_id_dst";

}  // namespace

void check_edges_place(const std::filesystem::path& file) {
  files::check_place(file, [](std::string_view head) { return head.starts_with(kHeader); });
}

void write_edges(const std::filesystem::path& file, const Hits& hits, const EdgeList& edges, const std::string& columns,
                 std::span<const float> values) {
  std::string text = kHeader;
  if (!columns.empty()) text += ',' + columns;
  text += '\n';
  const std::size_t count = edges.src.size(), per_edge = count == 0 ? 0 : values.size() / count;
  for (std::size_t e = 0; e < count; ++e) {
    numbers::append(text, hits.hit_id[static_cast<std::size_t>(edges.src[e])]);
    text += ',';
    numbers::append(text, hits.hit_id[static_cast<std::size_t>(edges.dst[e])]);
    for (const float value : values.subspan(e * per_edge, per_edge)) {
      text += ',';
      numbers::append(text, value);
    }
    text += '\n';
  }
  const WritingFiles writing;
  files::write(file, text, files::Durable::no);
}

}  // namespace starling::cli
