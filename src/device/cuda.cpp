#include <cuda_runtime_api.h>

#include "starling/device.h"
#include "starling/error.h"

namespace starling {

void require_cuda() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return;
  const std::string why = status == cudaSuccess ? "no GPU was found" : cudaGetErrorString(status);
  throw Error(ErrorKind::device, "device 'cuda': " + why);
}

}  // namespace starling
