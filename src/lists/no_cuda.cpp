#include "lists/lists.h"

// A build without CUDA: each function says so.
namespace starling::lists::cuda {

std::size_t turn_round_bytes(const Lists&) {
  require_cuda();
  return 0;
}
Holders turn_round(const Lists&, std::span<std::byte>, CUstream_st*) {
  require_cuda();
  return {};
}

}  // namespace starling::lists::cuda
