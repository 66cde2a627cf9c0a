#include "fake_quantization/backends.h"
#include "starling/error.h"

namespace starling::fakequantization::cuda {
namespace {

[[noreturn]] void absent() {
  throw Error(ErrorKind::device, "fake quantisation on a CUDA device: this build has no CUDA");
}

}  // namespace

void fake_quantize(const FakeQuantization&, float*, float*, const Execution&) { absent(); }
std::size_t workspace_bytes(const FakeQuantization&) { absent(); }
void fake_quantize_gradient(const FakeQuantization&, const float*, const float*, float* const (&)[kMaxQuantizedParts],
                            float*, std::span<std::byte>, const Execution&) {
  absent();
}
void quantize_rows(const QuantizedRows&, float*, float*, const Execution&) { absent(); }
std::size_t workspace_bytes(const QuantizedRows&) { absent(); }
void quantize_rows_gradient(const QuantizedRows&, const float*, const float*, const QuantizedRowsGradients&,
                            std::span<std::byte>, const Execution&) {
  absent();
}
void quantize_weights(std::span<const QuantizedWeight>, bool, bool, const float*, float*, float*, const Execution&) {
  absent();
}
void quantize_weights_gradient(std::span<const QuantizedWeight>, bool, bool, const float*, const float*, const float*,
                               float*, const Execution&) {
  absent();
}

}  // namespace starling::fakequantization::cuda
