#pragma once

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "starling/device.h"
#include "starling/error.h"

// What tests on a CUDA device share.
namespace starling {

inline void expect_ok(cudaError_t status) { ASSERT_EQ(status, cudaSuccess) << cudaGetErrorString(status); }

/// Device memory, at first full of bytes that no right answer has.
template <typename U>
class OnDevice {
 public:
  explicit OnDevice(std::size_t size) : size_(size) {
    void* memory = nullptr;
    expect_ok(cudaMalloc(&memory, std::max<std::size_t>(size, 1) * sizeof(U)));
    memory_.reset(static_cast<U*>(memory));
    expect_ok(cudaMemset(memory, 0xCD, size * sizeof(U)));
    expect_ok(cudaDeviceSynchronize());
  }
  explicit OnDevice(const std::vector<U>& values) : OnDevice(values.size()) { set(values.data()); }
  OnDevice(const U* values, std::size_t size) : OnDevice(size) { set(values); }
  U* data() const { return memory_.get(); }
  std::span<U> span() const { return {memory_.get(), size_}; }
  std::vector<U> get() const {
    std::vector<U> values(size_);
    expect_ok(cudaMemcpy(values.data(), memory_.get(), size_ * sizeof(U), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  // Both calls may return before the device is done, and a Stream waits for nothing of the default stream.
  void set(const U* values) {
    expect_ok(cudaMemcpy(memory_.get(), values, size_ * sizeof(U), cudaMemcpyHostToDevice));
    expect_ok(cudaDeviceSynchronize());
  }
  struct Free {
    void operator()(U* memory) const { cudaFree(memory); }
  };
  std::unique_ptr<U, Free> memory_;
  std::size_t size_;
};

class Stream {
 public:
  Stream() { expect_ok(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Captures action() in a CUDA graph and launches it twice: a hidden synchronisation or allocation would refuse that.
template <typename Action>
void replay_twice(const Stream& stream, const Action& action) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  expect_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  action();
  expect_ok(cudaStreamEndCapture(stream, &graph));
  expect_ok(cudaGraphInstantiate(&executable, graph, 0));
  for (int i = 0; i < 2; ++i) expect_ok(cudaGraphLaunch(executable, stream));
  expect_ok(cudaStreamSynchronize(stream));
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

template <typename Action>
void expect_usage(const Action& action, const char* text) {
  try {
    action();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr(text));
  }
}

/// Skips its tests where there is no device.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      require_cuda();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

}  // namespace starling
