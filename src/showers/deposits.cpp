#include "showers/deposits.h"

#include <algorithm>

namespace starling::showers {

namespace {

std::size_t hash(CellKey key) { return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15ull >> 32); }

}  // namespace

void Deposits::clear() {
  entries_.clear();
  if (++stamp_ == 0) {
    std::fill(stamps_.begin(), stamps_.end(), 0);
    stamp_ = 1;
  }
}

void Deposits::grow() {
  slots_.resize(2 * slots_.size());
  stamps_.assign(slots_.size(), 0);
  stamp_ = 1;
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = hash(entries_[i].cell) & mask;
    while (stamps_[slot] == stamp_) slot = (slot + 1) & mask;
    stamps_[slot] = stamp_;
    slots_[slot] = static_cast<std::int32_t>(i);
  }
}

void Deposits::add(std::int32_t layer, bool back, double x, double y, double mips, double time) {
  const CellKey cell = cells_.find(layer, back, x, y);
  if (cell == kNoCell) return;
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash(cell) & mask;
  for (; stamps_[slot] == stamp_; slot = (slot + 1) & mask) {
    Entry& entry = entries_[static_cast<std::size_t>(slots_[slot])];
    if (entry.cell != cell) continue;
    entry.mips += mips;
    entry.time_mips += mips * time;
    return;
  }
  stamps_[slot] = stamp_;
  slots_[slot] = static_cast<std::int32_t>(entries_.size());
  entries_.push_back({cell, mips, mips * time});
  if (2 * entries_.size() > slots_.size()) grow();
}

}  // namespace starling::showers
