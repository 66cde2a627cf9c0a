// The model reader on hostile files: first the safetensors file, then the network in it.

#include <cstddef>
#include <cstdint>

#include "expect_input_error.h"
#include "starling/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  expect_input_error([&] {
    const starling::TensorFile file =
        starling::parse_safetensors(reinterpret_cast<const std::byte*>(data), size, "model");
    for (const auto& [name, tensor] : file.tensors) require(tensor.count() >= 0, "a count of values");
  });
  return 0;
}
