#pragma once

#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "starling/event.h"
#include "starling/graph.h"

namespace starling::cli {

/// Writes a CSV row per edge: hit_id_src, hit_id_dst and the values [edges, columns] that `columns` names ("score" or
/// "dr,dphi"; empty for none).
void write_edges(const std::filesystem::path& file, const Hits& hits, const EdgeList& edges, const std::string& columns,
                 std::span<const float> values);

/// Makes sure that write_edges may write here: nothing is there, or an earlier result of it with one of these `columns`
/// and no others. Throws ErrorKind::usage.
void check_edges_place(const std::filesystem::path& file, std::initializer_list<std::string_view> columns);

}  // namespace starling::cli
