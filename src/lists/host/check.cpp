#include <tbb/blocked_range.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <string>

#include "lists/lists.h"
#include "starling/error.h"

namespace starling::lists::host {

void check(const Lists& lists, const char* function) {
  const std::int64_t* const splits = lists.row_splits;
  if (splits != nullptr) {
    if (splits[0] != 0) {
      throw Error(ErrorKind::usage,
                  std::string(function) + ": neighbor_row_splits[0] is " + std::to_string(splits[0]) + ": expected 0");
    }
    for (std::int32_t row = 0; row < lists.num_rows; ++row) {
      if (splits[row + 1] >= splits[row]) continue;
      throw Error(ErrorKind::usage, std::string(function) + ": neighbor_row_splits[" + std::to_string(row + 1) +
                                        "] is less than the entry before: expected ascending entries");
    }
    if (splits[lists.num_rows] != lists.num_entries) {
      throw Error(ErrorKind::usage, std::string(function) + ": the last row split is " +
                                        std::to_string(splits[lists.num_rows]) + ": expected num_entries, " +
                                        std::to_string(lists.num_entries));
    }
  }
  const std::int64_t bad = tbb::parallel_reduce(
      tbb::blocked_range<std::int64_t>(0, lists.num_entries, 1 << 15), lists.num_entries,
      [&](const tbb::blocked_range<std::int64_t>& range, std::int64_t found) {
        for (std::int64_t e = range.begin(); e < std::min(range.end(), found); ++e) {
          if (lists.index[e] < -1 || lists.index[e] >= lists.num_points) return e;
        }
        return found;
      },
      [](std::int64_t a, std::int64_t b) { return std::min(a, b); });
  if (bad == lists.num_entries) return;
  throw Error(ErrorKind::input, std::string(function) + ": index[" + std::to_string(bad) + "] is " +
                                    std::to_string(lists.index[bad]) + ": expected −1 or a row below " +
                                    std::to_string(lists.num_points));
}

}  // namespace starling::lists::host
