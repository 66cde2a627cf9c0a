#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "cuda/call.h"
#include "memory/layout.h"
#include "starling/quantized_network.h"

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

/// A network on its way to device memory. Packer(network, base) makes its `content`, which will stand at `base`, and
/// its `weights`, which point into that.
template <typename Packer>
class Upload {
 public:
  explicit Upload(const QuantizedNetwork& network)
      : network_(network), bytes_(Packer(network_, nullptr).content.bytes.size()) {}

  /// Of memory that run() needs.
  std::size_t bytes() const {
    memory::Layout layout;
    layout.take<std::byte>(bytes_);
    return layout.bytes();
  }

  /// Copies the content there, once, and lets go of the network.
  auto run(std::span<std::byte> memory) {
    std::byte* const there = memory::Layout(memory).take<std::byte>(bytes_);
    Packer packer(network_, there);
    starling::cuda::call(cudaMemcpy(there, packer.content.bytes.data(), bytes_, cudaMemcpyHostToDevice));
    auto weights = std::move(packer.weights);
    network_ = {};
    return weights;
  }

 private:
  QuantizedNetwork network_;
  std::size_t bytes_;
};

}  // namespace starling::quantized_network::cuda
