#include "learn/ops/message_kernels.h"

namespace starling::ops {

MeanDivisor parse_divisor(const char* op, std::string_view divisor) {
  if (divisor == "found") return MeanDivisor::found;
  if (divisor == "all") return MeanDivisor::all;
  TORCH_CHECK_VALUE(divisor == "weights", op, ": divisor is '", divisor, "': expected 'found', 'all' or 'weights'");
  return MeanDivisor::weights;
}

void check(const char* op, const MessageTensors& tensors) {
  constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();
  const at::Tensor &features = tensors.features, &index = tensors.index;
  check_floating(op, "features", features);
  TORCH_CHECK_VALUE(features.dim() == 2 && features.size(0) <= kMaxRows && features.size(1) >= 1 &&
                        features.size(1) <= kMaxMessageWidth,
                    op, ": features has shape ", features.sizes(), ": expected [rows, 1 to ", kMaxMessageWidth,
                    " features]");
  TORCH_CHECK_VALUE(index.scalar_type() == at::kLong && index.device() == features.device(), op, ": index is ",
                    index.scalar_type(), " on ", index.device(), ": expected int64 on ", features.device());
  TORCH_CHECK_VALUE(index.numel() <= kMaxRows, op, ": index has ", index.numel(), " entries: expected at most ",
                    kMaxRows);
  if (tensors.neighbor_row_splits) {
    const at::Tensor& splits = *tensors.neighbor_row_splits;
    TORCH_CHECK_VALUE(index.dim() == 1, op, ": index has shape ", index.sizes(),
                      ": expected [entries] with row splits");
    TORCH_CHECK_VALUE(splits.scalar_type() == at::kLong && splits.device() == features.device() && splits.dim() == 1 &&
                          splits.size(0) >= 1,
                      op, ": neighbor_row_splits is ", splits.scalar_type(), " ", splits.sizes(), " on ",
                      splits.device(), ": expected int64 [rows + 1] on ", features.device());
  } else {
    TORCH_CHECK_VALUE(index.dim() == 2, op, ": index has shape ", index.sizes(), ": expected [rows, k]");
  }
  const auto check_entries = [&](const char* name, const MaybeTensor& values) {
    if (!values) return;
    TORCH_CHECK_VALUE(values->sizes() == index.sizes(), op, ": ", name, " has shape ", values->sizes(), ": expected ",
                      index.sizes(), " as index");
    TORCH_CHECK_VALUE(values->scalar_type() == compute_type(features) && values->device() == features.device(), op,
                      ": ", name, " is ", values->scalar_type(), " on ", values->device(), ": expected ",
                      compute_type(features), " on ", features.device());
  };
  check_entries("distance2", tensors.distance2);
  check_entries("weight", tensors.weight);
}

}  // namespace starling::ops
