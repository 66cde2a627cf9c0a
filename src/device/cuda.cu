#include <cuda_runtime.h>

#include "starling/device.h"
#include "starling/error.h"

namespace starling {

namespace {

__global__ void nothing() {}

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::device, "device 'cuda': " + why); }

std::string capability(int major, int minor) { return std::to_string(major) + "." + std::to_string(minor); }

/// The current device has no code in this build.
[[noreturn]] void refuse_architecture() {
  int device = 0;
  cudaDeviceProp properties{};
  cudaGetDevice(&device);
  cudaGetDeviceProperties(&properties, device);
  std::string built;
  for (const int architecture : {__CUDA_ARCH_LIST__}) {
    built += (built.empty() ? "" : ", ") + capability(architecture / 100, architecture % 100 / 10);
  }
  refuse(std::string(properties.name) + " has compute capability " + capability(properties.major, properties.minor) +
         ", and this Starling was built for " + built);
}

}  // namespace

void require_cuda() {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) refuse(cudaGetErrorString(status));
  if (count == 0) refuse("no GPU was found");
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, nothing);
  if (status == cudaSuccess) return;
  cudaGetLastError();  // a later check of a launch must not find it
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) refuse_architecture();
  refuse(cudaGetErrorString(status));
}

}  // namespace starling
