#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace starling {

/// Finds the row of an id, such as the index of a hit from its hit_id. Ids are mostly dense: then this is a table, else
/// a sorted list.
class IdIndex {
 public:
  IdIndex() = default;
  explicit IdIndex(std::span<const std::int64_t> ids);

  /// The row of this id, or −1. Of rows that have one id, the first.
  std::int32_t find(std::int64_t id) const;

  /// The first row whose id an earlier row has, or −1.
  std::int32_t duplicate() const { return duplicate_; }

 private:
  std::uint64_t place(std::int64_t id) const {
    return static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(least_);
  }

  std::int64_t least_ = 0;
  std::vector<std::int32_t> table_;                            ///< by id − least_; −1 = none
  std::vector<std::pair<std::int64_t, std::int32_t>> sorted_;  ///< (id, row)
  std::int32_t duplicate_ = -1;
};

}  // namespace starling
