#include "event/hit_index.h"

#include <algorithm>

namespace starling {

HitIndex::HitIndex(std::span<const std::int64_t> hit_id) {
  if (hit_id.empty()) return;
  const auto [least, most] = std::minmax_element(hit_id.begin(), hit_id.end());
  least_ = *least;
  const auto size = static_cast<std::int32_t>(hit_id.size());
  if (const std::uint64_t span = place(*most); span < 4 * hit_id.size() + 1024) {
    table_.assign(static_cast<std::size_t>(span + 1), -1);
    for (std::int32_t i = 0; i < size; ++i) {
      std::int32_t& entry = table_[place(hit_id[static_cast<std::size_t>(i)])];
      if (entry < 0) {
        entry = i;
      } else if (duplicate_ < 0) {
        duplicate_ = i;
      }
    }
    return;
  }
  sorted_.reserve(hit_id.size());
  for (std::int32_t i = 0; i < size; ++i) sorted_.emplace_back(hit_id[static_cast<std::size_t>(i)], i);
  std::sort(sorted_.begin(), sorted_.end());
  for (std::size_t i = 1; i < sorted_.size(); ++i) {
    if (sorted_[i].first != sorted_[i - 1].first) continue;
    if (duplicate_ < 0 || sorted_[i].second < duplicate_) duplicate_ = sorted_[i].second;
  }
}

std::int32_t HitIndex::find(std::int64_t hit_id) const {
  if (!table_.empty()) {
    const std::uint64_t at = place(hit_id);
    return at < table_.size() ? table_[at] : -1;
  }
  const auto entry = std::lower_bound(sorted_.begin(), sorted_.end(), std::pair(hit_id, std::int32_t{-1}));
  return entry != sorted_.end() && entry->first == hit_id ? entry->second : -1;
}

}  // namespace starling
