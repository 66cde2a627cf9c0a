#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace starling {

/// Finds the index of a hit from its id. Ids are mostly dense: then this is a table, else a sorted list.
class HitIndex {
 public:
  HitIndex() = default;
  explicit HitIndex(std::span<const std::int64_t> hit_id);

  /// The index of this hit, or −1.
  std::int32_t find(std::int64_t hit_id) const;

  /// The index of the first hit whose id an earlier hit has, or −1.
  std::int32_t duplicate() const { return duplicate_; }

 private:
  std::uint64_t place(std::int64_t hit_id) const {
    return static_cast<std::uint64_t>(hit_id) - static_cast<std::uint64_t>(least_);
  }

  std::int64_t least_ = 0;
  std::vector<std::int32_t> table_;                            ///< by hit_id − least_; −1 = none
  std::vector<std::pair<std::int64_t, std::int32_t>> sorted_;  ///< (hit_id, index)
  std::int32_t duplicate_ = -1;
};

}  // namespace starling
