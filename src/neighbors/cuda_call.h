#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "starling/error.h"

namespace starling::neighbors_cuda {

inline void call(cudaError_t status) {
  if (status != cudaSuccess)
    throw Error(ErrorKind::device, std::string("neighbors on a CUDA device: ") + cudaGetErrorString(status));
}

}  // namespace starling::neighbors_cuda
