#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <span>

namespace starling::memory {

/// Memory as the system hands it out: pages that are not reached cost nothing, and those once written stay when it
/// grows, since clearing new ones takes as long as half a network. Large pages where there are any: nodes and edges are
/// gathered from all over it.
class Growing {
 public:
  Growing() = default;
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;
  ~Growing() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  /// At least so many bytes; what they hold stays, where they lie may change.
  std::span<std::byte> at_least(std::size_t size) {
    constexpr std::size_t kLargePage = std::size_t{1} << 21;
    if (size > size_) {
      size = (size + kLargePage - 1) / kLargePage * kLargePage;
      void* const data = data_ == nullptr
                             ? mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                             : mremap(data_, size_, size, MREMAP_MAYMOVE);
      if (data == MAP_FAILED) throw std::bad_alloc();
      data_ = data;
      size_ = size;
      madvise(data_, size_, MADV_HUGEPAGE);  // refused where the system has none: no harm done
    }
    return {static_cast<std::byte*>(data_), size_};
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace starling::memory
