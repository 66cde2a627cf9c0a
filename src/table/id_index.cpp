#include "table/id_index.h"

#include <algorithm>

namespace starling {

IdIndex::IdIndex(std::span<const std::int64_t> ids) {
  if (ids.empty()) return;
  const auto [least, most] = std::minmax_element(ids.begin(), ids.end());
  least_ = *least;
  const auto size = static_cast<std::int32_t>(ids.size());
  if (const std::uint64_t span = place(*most); span < 4 * ids.size() + 1024) {
    table_.assign(static_cast<std::size_t>(span + 1), -1);
    for (std::int32_t i = 0; i < size; ++i) {
      std::int32_t& entry = table_[place(ids[static_cast<std::size_t>(i)])];
      if (entry < 0) {
        entry = i;
      } else if (duplicate_ < 0) {
        duplicate_ = i;
      }
    }
    return;
  }
  sorted_.reserve(ids.size());
  for (std::int32_t i = 0; i < size; ++i) sorted_.emplace_back(ids[static_cast<std::size_t>(i)], i);
  std::sort(sorted_.begin(), sorted_.end());
  for (std::size_t i = 1; i < sorted_.size(); ++i) {
    if (sorted_[i].first != sorted_[i - 1].first) continue;
    if (duplicate_ < 0 || sorted_[i].second < duplicate_) duplicate_ = sorted_[i].second;
  }
}

std::int32_t IdIndex::find(std::int64_t id) const {
  if (!table_.empty()) {
    const std::uint64_t at = place(id);
    return at < table_.size() ? table_[at] : -1;
  }
  const auto entry = std::lower_bound(sorted_.begin(), sorted_.end(), std::pair(id, std::int32_t{-1}));
  return entry != sorted_.end() && entry->first == id ? entry->second : -1;
}

}  // namespace starling
