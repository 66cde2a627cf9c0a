#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace starling::quantized_network::cuda {

/// Arrays one behind the other, as they will stand in device memory from `base` on.
class Content {
 public:
  explicit Content(const std::byte* base) : base_(base) {}

  /// Where the array will stand: at a multiple of 16 bytes if `base` is.
  template <typename T>
  const T* add(const std::vector<T>& values) {
    const std::size_t at = (bytes.size() + 15) / 16 * 16, size = values.size() * sizeof(T);
    bytes.resize(at + size);
    if (size > 0) std::memcpy(bytes.data() + at, values.data(), size);
    return reinterpret_cast<const T*>(reinterpret_cast<std::uintptr_t>(base_) + at);
  }

  std::vector<std::byte> bytes;

 private:
  const std::byte* base_;
};

}  // namespace starling::quantized_network::cuda
