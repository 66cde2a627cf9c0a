#include "starling/device.h"
#include "starling/error.h"

namespace starling {

void require_cuda() {
  throw Error(ErrorKind::device, "device 'cuda': this Starling was built without CUDA (no nvcc was found)");
}

}  // namespace starling
