#pragma once

#include <span>
#include <string>
#include <string_view>

#include "table/csv.h"

namespace starling {

/// The rows of a CSV file, or an array of JSON objects: numbers by the name of their column. Valid as long as the text.
class Records {
 public:
  /// `file` stands for the file in messages; `path` are the keys, with dots between them, that lead to the array.
  Records(std::string_view text, std::string file, bool json, std::string path = "");

  /// As csv::read. In JSON an id may be an integer, a float without a fraction or a text of digits; null is none.
  std::int32_t read(std::span<const csv::Column> columns) const;
  /// Throws ErrorKind::input naming the line or the record.
  [[noreturn]] void fail(std::int32_t row, const std::string& what) const;

 private:
  std::int32_t read_json(std::span<const csv::Column> columns) const;

  std::string_view text_;
  std::string file_, path_;
  bool json_;
};

}  // namespace starling
