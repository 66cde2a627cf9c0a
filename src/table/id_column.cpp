#include "table/id_column.h"

#include "starling/error.h"
#include "table/csv.h"

namespace starling {

void IdColumn::fail(std::int32_t row, const std::string& what) const {
  csv::fail_at_row(text, std::string(file), row,
                   std::string(name) + " = " + std::to_string(ids[static_cast<std::size_t>(row)]) + ": " + what);
}

void IdColumn::require_unique(const IdIndex& index) const {
  if (index.duplicate() >= 0) fail(index.duplicate(), "expected once, appears again");
}

std::int32_t IdColumn::find(std::int32_t row, const IdIndex& index, const char* table) const {
  const std::int32_t found = index.find(ids[static_cast<std::size_t>(row)]);
  if (found < 0) fail(row, std::string("expected one of ") + table);
  return found;
}

void check_unique(const std::string& name, std::span<const std::int64_t> ids) {
  if (const std::int32_t row = IdIndex(ids).duplicate(); row >= 0) {
    throw Error(ErrorKind::usage, name + "[" + std::to_string(row) +
                                      "] = " + std::to_string(ids[static_cast<std::size_t>(row)]) +
                                      ": expected once, appears again");
  }
}

}  // namespace starling
