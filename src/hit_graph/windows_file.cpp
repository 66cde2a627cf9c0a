#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "hit_graph/windows.h"
#include "json/section.h"
#include "starling/error.h"

namespace starling {
namespace {

constexpr int kVersion = 1;
constexpr std::int64_t kMostLayers = 1024, kMostPairs = 16384, kMostTriples = 1 << 20, kMostCells = 1 << 24;

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::input, "model: windows" + what); }

std::string shape_of(const Tensor& tensor) {
  std::string text = "[";
  for (const auto extent : tensor.shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

/// Rows of the matrix `name`, which must have `columns` columns (0: it is a vector) and at most `most` rows.
std::int64_t rows(const TensorFile& file, const std::string& name, std::int64_t columns, std::int64_t most) {
  const Tensor& tensor = file.at("windows." + name);
  const bool right = columns == 0 ? tensor.shape.size() == 1 : tensor.shape.size() == 2 && tensor.shape[1] == columns;
  if (!right || tensor.shape[0] < 0 || tensor.shape[0] > most) {
    refuse("." + name + " has shape " + shape_of(tensor) + ", expected [0.." + std::to_string(most) +
           (columns == 0 ? "]" : ", " + std::to_string(columns) + "]"));
  }
  return tensor.shape[0];
}

/// Column `column` of the matrix `name`, already known to have `columns` columns.
template <class T>
std::vector<T> column(const std::vector<T>& values, std::int64_t columns, std::int64_t which) {
  std::vector<T> result;
  for (std::size_t i = static_cast<std::size_t>(which); i < values.size(); i += static_cast<std::size_t>(columns)) {
    result.push_back(values[i]);
  }
  return result;
}

template <class T>
std::vector<T> interleave(std::initializer_list<const std::vector<T>*> columns) {
  std::vector<T> result;
  for (std::size_t i = 0; i < (*columns.begin())->size(); ++i) {
    for (const auto* values : columns) result.push_back((*values)[i]);
  }
  return result;
}

template <class T>
std::vector<T> values_of(const TensorFile& file, const std::string& name, std::int64_t count) {
  std::vector<T> values;
  if constexpr (std::is_same_v<T, float>) {
    values = file.at("windows." + name).f32();
  } else {
    values = file.at("windows." + name).i32();
  }
  if (static_cast<std::int64_t>(values.size()) != count) {
    refuse("." + name + " has " + std::to_string(values.size()) + " values, expected " + std::to_string(count));
  }
  return values;
}

/// Two int32 columns.
std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>> read_pairs(const TensorFile& file,
                                                                           const std::string& name, std::int64_t most) {
  const auto values = values_of<std::int32_t>(file, name, 2 * rows(file, name, 2, most));
  return {column(values, 2, 0), column(values, 2, 1)};
}

void check_index(const std::string& name, const std::vector<std::int32_t>& values, std::int32_t end) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] >= end) {
      refuse("." + name + " row " + std::to_string(i) + " holds " + std::to_string(values[i]) + ", expected 0.." +
             std::to_string(end - 1));
    }
  }
}

void check_ascending(const std::string& name, const std::vector<std::int32_t>& first,
                     const std::vector<std::int32_t>& second) {
  for (std::size_t i = 1; i < first.size(); ++i) {
    if (std::pair(first[i - 1], second[i - 1]) >= std::pair(first[i], second[i])) {
      refuse("." + name + " row " + std::to_string(i) + " does not follow row " + std::to_string(i - 1) +
             " in ascending order");
    }
  }
}

/// Row splits of `groups` groups, each of one cell or more, over `cells` cells.
std::vector<std::int32_t> read_splits(const TensorFile& file, const std::string& name, std::int64_t groups,
                                      std::int64_t cells) {
  const auto splits = values_of<std::int32_t>(file, name, rows(file, name, 0, groups + 1));
  if (static_cast<std::int64_t>(splits.size()) != groups + 1 || splits.front() != 0 || splits.back() != cells) {
    refuse("." + name + " must have " + std::to_string(groups + 1) + " entries from 0 to " + std::to_string(cells));
  }
  for (std::size_t i = 1; i < splits.size(); ++i) {
    if (splits[i] <= splits[i - 1]) refuse("." + name + " entry " + std::to_string(i) + " is not above the one before");
  }
  return splits;
}

void check_widths(const std::string& name, const std::vector<float>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] >= 0.f) || !std::isfinite(values[i])) {
      refuse("." + name + " value " + std::to_string(i) + " is " + std::to_string(values[i]) +
             ", expected a finite width of 0 or more");
    }
  }
}

/// Cell bounds rise within each group up to the largest float.
void check_bounds(const std::string& name, const std::vector<std::int32_t>& splits, const std::vector<float>& bounds) {
  for (std::size_t g = 0; g + 1 < splits.size(); ++g) {
    for (std::int32_t c = splits[g]; c < splits[g + 1]; ++c) {
      const float bound = bounds[static_cast<std::size_t>(c)];
      const bool last = c + 1 == splits[g + 1];
      if (last ? bound != std::numeric_limits<float>::max() : !(bound <= bounds[static_cast<std::size_t>(c) + 1])) {
        refuse("." + name + " row " + std::to_string(c) + ": cell bounds of group " + std::to_string(g) +
               " must rise to the largest float");
      }
    }
  }
}

double read_min_pt(const TensorFile& file) {
  const auto entry = file.metadata.find("windows");
  if (entry == file.metadata.end()) refuse(": no metadata 'windows'");
  json::Section section(entry->second, "model: windows");
  section.take("version", std::to_string(kVersion).c_str(),
               [](const nlohmann::json& value) { return value.is_number_integer() && value == kVersion; });
  const nlohmann::json min_pt = section.take("min_pt", "a number of 0 or more", [](const nlohmann::json& value) {
    return value.is_number() && value.get<double>() >= 0.;
  });
  section.end();
  return min_pt.get<double>();
}

}  // namespace

void Windows::to_file(TensorFile& file) const {
  const Content& c = content();
  const auto put = [&](const std::string& name, const auto& values, std::int64_t columns) {
    const auto count = static_cast<std::int64_t>(values.size());
    file.tensors["windows." + name] =
        columns == 0 ? Tensor::of(values, {count}) : Tensor::of(values, {count / columns, columns});
  };
  put("layers", interleave<std::int32_t>({&c.volume_id, &c.layer_id}), 2);
  put("pairs", interleave<std::int32_t>({&c.pair_src, &c.pair_dst}), 2);
  put("pair_cells", c.pair_cells, 0);
  put("pair_windows", interleave<float>({&c.pair_cot, &c.pair_k, &c.pair_z0}), 3);
  put("triples", interleave<std::int32_t>({&c.triple_first, &c.triple_second}), 2);
  put("triple_cells", c.triple_cells, 0);
  put("triple_windows", interleave<float>({&c.triple_cot, &c.triple_k, &c.triple_d0, &c.triple_bend}), 4);
  put("overlaps", interleave<float>({&c.overlap_distance, &c.overlap_rphi}), 2);
  file.metadata["windows"] = nlohmann::json{{"version", kVersion}, {"min_pt", c.min_pt}}.dump();
}

Windows Windows::from_file(const TensorFile& file) {
  auto content = std::make_unique<Content>();
  Content& c = *content;
  c.min_pt = read_min_pt(file);

  std::tie(c.volume_id, c.layer_id) = read_pairs(file, "layers", kMostLayers);
  check_ascending("layers", c.volume_id, c.layer_id);

  std::tie(c.pair_src, c.pair_dst) = read_pairs(file, "pairs", kMostPairs);
  check_ascending("pairs", c.pair_src, c.pair_dst);
  check_index("pairs", c.pair_src, c.layers());
  check_index("pairs", c.pair_dst, c.layers());
  for (std::size_t p = 0; p < c.pair_src.size(); ++p) {
    if (c.pair_src[p] == c.pair_dst[p]) refuse(".pairs row " + std::to_string(p) + " joins a layer with itself");
  }
  const std::int64_t pair_cells = rows(file, "pair_windows", 3, kMostCells);
  c.pair_cells = read_splits(file, "pair_cells", c.pairs(), pair_cells);
  const auto pair_windows = values_of<float>(file, "pair_windows", 3 * pair_cells);
  check_widths("pair_windows", pair_windows);
  c.pair_cot = column(pair_windows, 3, 0);
  c.pair_k = column(pair_windows, 3, 1);
  c.pair_z0 = column(pair_windows, 3, 2);
  check_bounds("pair_windows", c.pair_cells, c.pair_cot);

  std::tie(c.triple_first, c.triple_second) = read_pairs(file, "triples", kMostTriples);
  check_ascending("triples", c.triple_first, c.triple_second);
  check_index("triples", c.triple_first, c.pairs());
  check_index("triples", c.triple_second, c.pairs());
  for (std::size_t t = 0; t < c.triple_first.size(); ++t) {
    if (c.pair_dst[static_cast<std::size_t>(c.triple_first[t])] !=
        c.pair_src[static_cast<std::size_t>(c.triple_second[t])]) {
      refuse(".triples row " + std::to_string(t) + ": the second pair does not start where the first ends");
    }
  }
  const std::int64_t triple_cells = rows(file, "triple_windows", 4, kMostCells);
  c.triple_cells = read_splits(file, "triple_cells", c.triples(), triple_cells);
  const auto triple_windows = values_of<float>(file, "triple_windows", 4 * triple_cells);
  check_widths("triple_windows", triple_windows);
  c.triple_cot = column(triple_windows, 4, 0);
  c.triple_k = column(triple_windows, 4, 1);
  c.triple_d0 = column(triple_windows, 4, 2);
  c.triple_bend = column(triple_windows, 4, 3);
  check_bounds("triple_windows", c.triple_cells, c.triple_cot);

  const auto overlaps = values_of<float>(file, "overlaps", 2 * rows(file, "overlaps", 2, kMostLayers));
  if (static_cast<std::int64_t>(overlaps.size()) != 2 * std::int64_t{c.layers()}) {
    refuse(".overlaps has " + std::to_string(overlaps.size() / 2) + " rows for " + std::to_string(c.layers()) +
           " layers");
  }
  check_widths("overlaps", overlaps);
  c.overlap_distance = column(overlaps, 2, 0);
  c.overlap_rphi = column(overlaps, 2, 1);

  c.index();
  return Windows(std::move(content));
}

}  // namespace starling
