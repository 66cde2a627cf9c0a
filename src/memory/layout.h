#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "starling/error.h"

namespace starling::memory {

/// Lays out arrays in memory that a caller lends. take() gives them one after the other, aligned, and allocates
/// nothing. Without memory it gives null and counts, so that the function that lays out a workspace also measures it:
///
///   std::size_t lay_out(std::span<std::byte> memory, Arrays& arrays) {
///     Layout layout(memory);
///     arrays.x = layout.take<float>(n);
///     return layout.bytes();
///   }
class Layout {
 public:
  /// A line of a GPU's memory, two of a processor's cache.
  static constexpr std::size_t kAlignment = 128;

  Layout() = default;
  /// `memory` may lie anywhere: what is needed to align its begin is part of bytes().
  explicit Layout(std::span<std::byte> memory) : begin_(memory.data()) {
    if (begin_ == nullptr) return;
    const auto beyond = reinterpret_cast<std::uintptr_t>(begin_) % kAlignment;
    begin_ += (kAlignment - beyond) % kAlignment;
  }

  /// An array of `count` elements, not initialised; null where there is no memory.
  template <typename T>
  T* take(std::size_t count) {
    static_assert(alignof(T) <= kAlignment);
    T* const array = begin_ == nullptr ? nullptr : reinterpret_cast<T*>(begin_ + used_);
    used_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return array;
  }

  bool measures() const { return begin_ == nullptr; }

  /// What the caller must lend for the arrays so far, wherever it lies.
  std::size_t bytes() const { return used_ + kAlignment - 1; }

 private:
  std::byte* begin_ = nullptr;
  std::size_t used_ = 0;
};

/// Throws ErrorKind::usage where a workspace is smaller than its size query says.
inline void check_workspace(std::span<std::byte> workspace, std::size_t needed, const char* function) {
  if (workspace.size() >= needed) return;
  throw Error(ErrorKind::usage, std::string(function) + ": workspace of " + std::to_string(workspace.size()) +
                                    " bytes: expected at least " + std::to_string(needed));
}

}  // namespace starling::memory
