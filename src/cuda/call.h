#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "starling/error.h"

namespace starling::cuda {

/// Throws ErrorKind::device for what the CUDA runtime reports.
inline void call(cudaError_t status) {
  if (status != cudaSuccess) throw Error(ErrorKind::device, std::string("CUDA device: ") + cudaGetErrorString(status));
}

}  // namespace starling::cuda
