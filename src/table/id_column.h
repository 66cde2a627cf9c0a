#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "table/id_index.h"

namespace starling {

/// A column of ids that was read from a file, and how they are checked. Throws ErrorKind::input naming file, line,
/// column and id. Valid as long as what it views.
struct IdColumn {
  std::string_view text;  ///< of the file
  std::string_view file;  ///< what stands for it in messages
  std::string_view name;  ///< of the column
  std::span<const std::int64_t> ids;

  [[noreturn]] void fail(std::int32_t row, const std::string& what) const;
  /// Throws for the first id that appears again. `index` is that of the ids.
  void require_unique(const IdIndex& index) const;
  /// The row in another table, "the hits file", of the id in this row. Throws where it has none.
  std::int32_t find(std::int32_t row, const IdIndex& index, const char* table = "the hits file") const;
};

/// Throws ErrorKind::usage, "<name>[<row>] = <id>: …", for the first id that appears again.
void check_unique(const std::string& name, std::span<const std::int64_t> ids);

}  // namespace starling
