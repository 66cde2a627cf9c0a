#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <vector>

#include "starling/device.h"

// What benches on a CUDA device share.
namespace starling::bench {

inline void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

template <typename U>
class OnDevice {
 public:
  explicit OnDevice(std::size_t size) : size_(size) { check(cudaMalloc(&memory_, size * sizeof(U))); }
  ~OnDevice() { cudaFree(memory_); }
  OnDevice(const OnDevice&) = delete;
  U* data() const { return static_cast<U*>(memory_); }
  std::span<U> span() const { return {data(), size_}; }

 private:
  void* memory_ = nullptr;
  std::size_t size_;
};

struct Timer {
  cudaStream_t stream = nullptr;
  cudaEvent_t start = nullptr, stop = nullptr;
  Timer() {
    check(cudaStreamCreate(&stream));
    check(cudaEventCreate(&start));
    check(cudaEventCreate(&stop));
  }

  Execution on_stream(std::int32_t* bad_row = nullptr) const {
    return {.device = Device::cuda, .stream = stream, .bad_row = bad_row};
  }

  /// Sorted milliseconds of `repeats` runs.
  template <typename Action>
  std::vector<float> run(int repeats, const Action& action) const {
    std::vector<float> times;
    for (int i = -3; i < repeats; ++i) {
      check(cudaEventRecord(start, stream));
      action();
      check(cudaEventRecord(stop, stream));
      check(cudaEventSynchronize(stop));
      float ms = 0;
      check(cudaEventElapsedTime(&ms, start, stop));
      if (i >= 0) times.push_back(ms);
    }
    std::sort(times.begin(), times.end());
    return times;
  }

  template <typename Action>
  std::vector<float> run_graph(int repeats, const Action& action) const {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    action();
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&executable, graph, 0));
    const auto times = run(repeats, [&] { check(cudaGraphLaunch(executable, stream)); });
    check(cudaGraphExecDestroy(executable));
    check(cudaGraphDestroy(graph));
    return times;
  }
};

}  // namespace starling::bench
