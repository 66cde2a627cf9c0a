#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "cuda/call.h"

// What a session owns on a CUDA device: memory that grows, and a stream. The core's other functions borrow both.
namespace starling::cuda {

/// Memory of the device that was current when it was made.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { cudaFree(data_); }

  /// At least so many bytes; what they held is lost where they grow. Where the device has not as much, throws `kind`
  /// and holds nothing.
  std::span<std::byte> at_least(std::size_t size, ErrorKind kind) {
    if (size > size_) {
      call(cudaFree(data_));
      data_ = nullptr;
      size_ = 0;
      if (cudaMalloc(&data_, size) == cudaErrorMemoryAllocation) {
        cudaGetLastError();  // a later check of a launch must not find it
        data_ = nullptr;
        std::size_t left = 0, total = 0;
        call(cudaMemGetInfo(&left, &total));
        const auto megabytes = [](std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
        throw Error(kind, megabytes(size) + " of the GPU's memory are needed, and " + megabytes(left) + " of " +
                              megabytes(total) + " are free");
      }
      call(cudaGetLastError());
      size_ = size;
    }
    return {static_cast<std::byte*>(data_), size_};
  }
  std::size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Host memory that a device copies from and to without waiting for the host.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory() { cudaFreeHost(data_); }

  /// At least so many bytes; what they held is lost where they grow. Where the host has not as much, throws
  /// std::bad_alloc and holds nothing.
  std::span<std::byte> at_least(std::size_t size) {
    if (size > size_) {
      call(cudaFreeHost(data_));
      data_ = nullptr;
      size_ = 0;
      if (cudaMallocHost(&data_, size) == cudaErrorMemoryAllocation) {
        cudaGetLastError();  // a later check of a launch must not find it
        data_ = nullptr;
        throw std::bad_alloc();
      }
      call(cudaGetLastError());
      size_ = size;
    }
    return {static_cast<std::byte*>(data_), size_};
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A stream that waits for no other; copies on it are of arrays of one type.
class Stream {
 public:
  Stream() { call(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

  template <typename T>
  std::span<const T> upload(std::span<const T> from, T* to) const {
    call(cudaMemcpyAsync(to, from.data(), from.size_bytes(), cudaMemcpyHostToDevice, stream_));
    return {to, from.size()};
  }
  template <typename T>
  void download(const T* from, std::span<T> to) const {
    call(cudaMemcpyAsync(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost, stream_));
  }
  void wait() const { call(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace starling::cuda
