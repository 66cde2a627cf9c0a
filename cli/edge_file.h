#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "starling/event.h"
#include "starling/graph.h"

namespace starling::cli {

/// Writes a CSV row per edge: hit_id_src, hit_id_dst and the values [edges, columns] that `columns` names ("score" or
/// "dr,dphi"; empty for none).
void write_edges(const std::filesystem::path& file, const Hits& hits, const EdgeList& edges, const std::string& columns,
                 std::span<const float> values);

/// Throws ErrorKind::usage where `file` would replace what is no such file.
void check_edges_place(const std::filesystem::path& file);

}  // namespace starling::cli
