#include "edge_file.h"

#include <algorithm>

#include "ending.h"
#include "files/files.h"
#include "numbers/numbers.h"

namespace starling::cli {
namespace {

std::string header(std::string_view columns) {
  std::string line = "hit_id_src,hit_id_dst";
  if (!columns.empty()) line.append(",").append(columns);
  return line + '\n';
}

}  // namespace

void check_edges_place(const std::filesystem::path& file, std::initializer_list<std::string_view> columns) {
  files::check_place(file, [&](std::string_view head) {
    return std::any_of(columns.begin(), columns.end(),
                       [&](std::string_view some) { return head.starts_with(header(some)); });
  });
}

void write_edges(const std::filesystem::path& file, const Hits& hits, const EdgeList& edges, const std::string& columns,
                 std::span<const float> values) {
  std::string text = header(columns);
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
