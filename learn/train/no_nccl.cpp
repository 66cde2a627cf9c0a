#include "learn/train/backend.h"
#include "starling/error.h"

namespace starling::learn {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>&, int, int,
                                            std::chrono::milliseconds) {
  throw Error(
      ErrorKind::device,
      "several processes on GPUs: this starling-learn was built without NCCL; build it where the Python package "
      "nvidia-nccl of its torch is installed");
}

}  // namespace starling::learn
