#pragma once

#include <cstddef>
#include <cstdint>

namespace starling::neighbors_cuda {

inline constexpr std::size_t kAlignment = 256;

inline std::byte* aligned(std::byte* memory) {
  const std::size_t beyond = reinterpret_cast<std::uintptr_t>(memory) % kAlignment;
  return memory + (kAlignment - beyond) % kAlignment;
}

/// Hands out aligned parts of a workspace; counts them where there is none.
class Layout {
 public:
  explicit Layout(std::byte* memory) : memory_(memory) {}
  template <typename U>
  U* take(std::size_t count) {
    U* const part = memory_ == nullptr ? nullptr : reinterpret_cast<U*>(memory_ + size_);
    size_ += (count * sizeof(U) + kAlignment - 1) / kAlignment * kAlignment;
    return part;
  }
  std::size_t size() const { return size_; }

 private:
  std::byte* memory_;
  std::size_t size_ = 0;
};

}  // namespace starling::neighbors_cuda
